"""Accounts on EVM chains at the owner's desk: what is typed, what is there, and a small trial."""

from __future__ import annotations

import contextlib
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall.admin.accounts import AccountForm
from paywall.effects import run
from paywall.money import of_token

from . import networks, nodes, plain, transfers
from .rpc import NodeError
from .terms import RAIL, terms_for
from .terms import of as terms_of
from .tokens import TOKENS

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.models import Account

PATIENCE = 3.0
"""Seconds that a page waits for a node."""

TEST_PRICE = Decimal("0.01")
"""A test payment is a little more than that: by its last digits it is known again."""

FROM_PRESET = ("network", "symbol", "decimals", "asset", "eip712_name", "eip712_version")


class EvmAccountForm(AccountForm):
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
    pay_to = forms.CharField(
        label=_("Pay to (your address)"),
        max_length=42,
        help_text=_("Your address on that network. Only its key can spend what arrives."),
    )
    asset = forms.CharField(label=_("Token contract"), max_length=42)
    eip712_name = forms.CharField(
        label=_("Name that buyers sign"),
        max_length=100,
        help_text=_("As the token's contract says it: the EIP-712 domain's name."),
    )
    eip712_version = forms.CharField(
        label=_("Version that buyers sign"),
        max_length=20,
        help_text=_("Of the same: the EIP-712 domain's version."),
    )
    confirmations = forms.IntegerField(
        label=_("Confirmations"),
        min_value=1,
        initial=12,
        help_text=_("Blocks after which a settled payment counts as final."),
    )
    finalized = forms.BooleanField(
        label=_("Wait for finality"),
        required=False,
        help_text=_("Final is what the chain itself calls finalized, however deep that is."),
    )

    rail = RAIL
    terms_fields = (
        *("asset", "pay_to", "eip712_name", "eip712_version", "confirmations", "finalized"),
    )
    first = ("preset", "pay_to", "confirmations", "finalized")
    by_hand = (*FROM_PRESET, "currency")
    by_hand_title = _("Technical details")
    by_hand_help = _("Leave these alone if you chose a coin above.")
    network_help = _("By its CAIP-2 name: eip155:8453 is Base.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["preset"]
        elif self.data.get(self.add_prefix("preset")):
            for name in (*FROM_PRESET, "currency", "confirmations"):
                self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        token = TOKENS.get(cleaned.get("preset", ""))
        if token is not None:
            known = {**terms_for(token.key, ""), "network": token.network, "symbol": token.symbol}
            known["decimals"] = token.decimals
            for name in FROM_PRESET:
                cleaned[name] = known[name]
            cleaned["currency"] = token.currency
            if "confirmations" not in self.changed_data or not cleaned.get("confirmations"):
                cleaned["confirmations"] = token.confirmations
        if not self.instance.pk:
            self._check_recipient(cleaned.get("network") or "", cleaned.get("pay_to") or "")
        return super().clean()

    def _check_recipient(self, network: str, pay_to: str) -> None:
        """What is sent to a token's contract is gone. A node, where there is one, knows all of
        them; without one only the well-known ones are known."""
        if not pay_to:
            return
        is_token = any(token.asset.lower() == pay_to.lower() for token in TOKENS.values())
        node = nodes.of(network, PATIENCE)
        if not is_token and node is not None:
            # The check is a help: a node that is away keeps nobody from selling.
            with contextlib.suppress(NodeError):
                is_token = run(node.is_token(pay_to))
        if is_token:
            self.add_error("pay_to", _("This is a token's contract: money sent there is gone."))


def balance_text(account: Account) -> str:
    """What is there now, for people."""
    node, terms = nodes.of(account.network, PATIENCE), terms_of(account)
    if node is None:
        return gettext("not known: no node is set for this network")
    try:
        units = run(node.balance_of(terms.asset, terms.pay_to))
    except NodeError as error:
        return gettext("not known: %s") % error
    return of_token(units, account.decimals, account.symbol)


def trial(request: HttpRequest, account: Account) -> dict[str, Any]:
    """A QR code for a small payment by hand, and a look for it on the chain."""
    terms = terms_of(account)
    extra, since = request.GET.get("extra", ""), request.GET.get("since", "")
    if not (extra.isdecimal() and len(extra) <= 4):
        extra = str(secrets.randbelow(9_000) + 1_000)
    units = (account.atomic(TEST_PRICE) or 10_000) + int(extra)
    node, head, found, trouble = nodes.of(account.network, PATIENCE), None, None, ""
    if node is not None:
        try:
            head = run(node.block("latest")).number
            if since.isdecimal() and len(since) < 18:
                came = run(transfers.incoming(node, terms.asset, [terms.pay_to], int(since), head))
                found = next((transfer for transfer in came if transfer.value == units), None)
        except NodeError as error:
            trouble = str(error)
    start = since if since.isdecimal() else str(head if head is not None else "")
    uri = plain.uri(account.network, terms.asset, terms.pay_to, units)
    return {
        "amount": f"{Decimal(units).scaleb(-account.decimals):f} {account.symbol}",
        "is_testnet": networks.is_testnet(account.network),
        "uri": uri,
        "watches": node is not None,
        "found": found,
        "found_url": found and networks.transaction_url(account.network, found.transaction),
        "trouble": trouble,
        "live": f"{request.path}?extra={extra}&since={start}",
    }
