"""Accounts for cards at the owner's desk."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from paywall import conf
from paywall.admin.accounts import AccountForm

from . import terms


class CardAccountForm(AccountForm):
    """What is asked for a currency: the rest the key says."""

    minimum = forms.DecimalField(
        label=_("Cards from"),
        min_value=0,
        max_digits=12,
        decimal_places=2,
        initial=terms.USUAL_MINIMUM,
        help_text=_("The lowest price that cards are offered for: each costs you about 0.30."),
    )
    descriptor = forms.CharField(
        label=_("On the buyer's bill"),
        max_length=22,
        required=False,
        help_text=_("After your name at Stripe; 2 to 22 letters, digits and spaces."),
    )

    profile = forms.CharField(
        label=_("Profile at Stripe"),
        max_length=120,
        required=False,
        help_text=_(
            "profile_...: with it, programs may pay by card too (MPP, shared payment tokens: a "
            "preview of Stripe's, for accounts that have it)."
        ),
    )

    rail = terms.RAIL
    terms_fields = ("minimum", "descriptor", "profile")
    first = ("currency", "minimum", "descriptor", "profile")
    by_hand = ()

    class Meta(AccountForm.Meta):
        fields = ("currency", "order", "enabled")  # type: ignore[assignment]

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        cards = conf.get().cards()
        if cards is None:
            text = _("PAYWALL['STRIPE'] has no API_KEY: cards need an account at Stripe.")
            raise forms.ValidationError(text)
        if cleaned.get("minimum") is not None:
            cleaned["minimum"] = str(cleaned["minimum"])
        account, currency = self.instance, cleaned.get("currency")
        if not account.pk and currency:
            made = terms.account_for(currency, cards.is_test)
            for name in ("network", "symbol", "decimals"):
                setattr(account, name, getattr(made, name))
            account.terms = {"currency": currency}
        super().clean()
        if not account.pk and currency:
            account.terms = {**account.terms, "currency": currency}
        return cleaned
