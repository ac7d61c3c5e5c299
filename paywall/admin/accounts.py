"""Accounts: for a well-known coin, only the address has to be typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from paywall.evm import networks
from paywall.evm.addresses import shortened
from paywall.evm.tokens import TOKENS
from paywall.models import Account
from paywall.models.accounts import FIXED_FIELDS

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    AccountFormBase = forms.ModelForm[Account]
    ModelAdminBase = admin.ModelAdmin[Account]
else:
    AccountFormBase = forms.ModelForm
    ModelAdminBase = admin.ModelAdmin

FROM_PRESET = ("network", "asset", "symbol", "decimals", "eip712_name", "eip712_version")


class NewAccountForm(AccountFormBase):
    """A preset fills in what it knows; without one, everything is typed."""

    preset = forms.ChoiceField(
        label=_("Coin"),
        required=False,
        initial="usdc-base",
        choices=[
            ("", _("another token: fill in all fields")),
            *((token.key, token.label) for token in TOKENS.values()),
        ],
        help_text=_("Choose one and type only the address to pay to."),
    )

    class Meta:
        model = Account
        fields = "__all__"
        labels = {"pay_to": _("Pay to (your address)")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.data.get(self.add_prefix("preset")):
            for name in (*FROM_PRESET, "currency", "confirmations"):
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        token = TOKENS.get(cleaned.get("preset", ""))
        if token is not None:
            for name in FROM_PRESET:
                cleaned[name] = getattr(token, name)
            cleaned["currency"] = token.currency
            if "confirmations" not in self.changed_data or not cleaned.get("confirmations"):
                cleaned["confirmations"] = token.confirmations
        return cleaned


@admin.register(Account)
class AccountAdmin(ModelAdminBase):
    list_display = ["coin", "paid_to", "currency", "confirmations", "order", "enabled"]
    list_editable = ["order", "enabled"]
    list_filter = ["enabled", "network", "currency"]
    search_fields = ["pay_to", "asset", "symbol"]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kw: Any
    ) -> Any:
        if obj is None:
            kw["form"] = NewAccountForm
        return super().get_form(request, obj, change, **kw)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        by_hand = (
            _("Token"),
            {
                "fields": [*FROM_PRESET, "currency"],
                "classes": [] if obj else ["collapse"],
                "description": _("Leave these alone if you chose a coin above."),
            },
        )
        if obj is not None:
            by_hand[1]["description"] = _(
                "Fixed: offers and payments refer to it. To move, add another account and "
                "disable this one."
            )
        first = ["pay_to", "confirmations", "finalized", "facilitators", "order", "enabled"]
        return [(None, {"fields": first if obj else ["preset", *first]}), by_hand]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*FIXED_FIELDS] if obj else []

    @admin.display(description=_("coin"), ordering="network")
    def coin(self, account: Account) -> str | SafeString:
        label = f"{account.symbol} on {networks.title(account.network)}"
        if networks.is_testnet(account.network):
            return format_html("{} <em>({})</em>", label, _("test network"))
        return label

    @admin.display(description=_("pay to"), ordering="pay_to")
    def paid_to(self, account: Account) -> str:
        return shortened(account.pay_to)
