"""What staff can ask for on a receipt's page."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from paywall import durable, staff_log
from paywall.models import AccessPass, Payment, Refund
from paywall.money import of_token
from paywall.settlement import refunds

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.vocabulary import Offer


class RefundForm(forms.Form):
    """How much of which payments goes back, and why.

    `seen` is what was refunded of them when this page was made: who confirms it later than
    somebody else did changes nothing.
    """

    amount = forms.DecimalField(
        label=_("Amount"), required=False, help_text=_("In the token. Empty: all that is left.")
    )
    reason = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 2}))
    revoke_pass = forms.BooleanField(
        label=_("Revoke the access pass"), required=False, initial=True
    )
    sent_in = forms.CharField(
        label=_("Transaction"),
        required=False,
        help_text=_("If you sent the money yourself: its hash. It is looked up on the chain."),
    )
    sender = forms.CharField(
        label=_("Sent from"),
        required=False,
        max_length=64,
        help_text=_("Only if you sent it from another wallet than the one that is paid to."),
    )
    seen = forms.JSONField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, payments: list[Payment], **kwargs: Any) -> None:
        seen = {str(payment.pk): payment.refunded for payment in payments}
        kwargs.setdefault("initial", {"seen": seen})
        super().__init__(*args, **kwargs)
        if len(payments) > 1:
            del self.fields["amount"], self.fields["sent_in"], self.fields["sender"]
        else:
            left = in_token(refunds.remaining(payments[0]), payments[0].taken_offer)
            self.fields["revoke_pass"].initial = refunds.closes(payments[0], 0)
            self.fields["amount"].widget.attrs["placeholder"] = left
            self.fields["sent_in"].required = not refunds.can_send(payments)
        passes = AccessPass.objects.using(durable.alias())
        if not passes.filter(payment__in=payments, revoked_at=None).exists():
            del self.fields["revoke_pass"]  # nothing was sold that stays open
        self.payments = payments

    def clean_seen(self) -> dict[str, str]:
        seen = self.cleaned_data["seen"]
        good = isinstance(seen, dict) and all(
            str(seen.get(str(payment.pk), "")).isdecimal() for payment in self.payments
        )
        if not good:
            raise forms.ValidationError(_("Open this page again."))
        return dict(seen)

    def clean_amount(self) -> int | None:
        amount: Decimal | None = self.cleaned_data["amount"]
        if amount is None:
            return None
        (payment,) = self.payments
        units = amount.scaleb(payment.taken_offer.decimals)
        if units <= 0 or units != units.to_integral_value():
            raise forms.ValidationError(_("More than zero, in whole units of the token."))
        return int(units)

    def request_all(self, user: Any) -> tuple[list[Refund], list[str]]:
        """Ask for the refunds; those that are on their way, and why others are not."""
        asked, troubles = [], []
        for payment in self.payments:
            seen = int(self.cleaned_data["seen"][str(payment.pk)])
            amount = self.cleaned_data.get("amount") or payment.atomic_amount - seen
            try:
                refund = refunds.request(
                    payment,
                    amount,
                    self.cleaned_data["reason"],
                    by=user,
                    seen=seen,
                    revoke_pass=self.cleaned_data.get("revoke_pass", False),
                    sent_in=self.cleaned_data.get("sent_in", ""),
                    sender=self.cleaned_data.get("sender", ""),
                )
            except refunds.RefundRefused as refused:
                troubles.append(f"#{payment.pk}: {refused}")
            else:
                asked.append(refund)
                told = in_token(int(refund.amount), payment.taken_offer)
                staff_log.write(user, payment, f"Refund #{refund.pk} of {told}: {refund.reason}")
        return asked, troubles


def tell(request: HttpRequest, asked: list[Refund], troubles: list[str]) -> None:
    """Say what became of the refunds that were asked for."""
    for trouble in troubles:
        messages.error(request, trouble)
    if asked:
        text = ngettext("%d refund is on its way.", "%d refunds are on their way.", len(asked))
        messages.success(request, text % len(asked))


class ReasonForm(forms.Form):
    """Why somebody does it."""

    reason = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 2}))


class NoteForm(forms.Form):
    """A note that stays with the payment."""

    text = forms.CharField(
        label=_("Note"), max_length=2000, widget=forms.Textarea(attrs={"rows": 2})
    )


class ResendForm(forms.Form):
    """Where the receipt's link goes once more."""

    to = forms.EmailField(label=_("E-mail address"))


def in_token(amount: int, offer: Offer) -> str:
    """An amount of the token for people."""
    return of_token(amount, offer.decimals, offer.symbol)
