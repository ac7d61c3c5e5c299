"""The rail of play money (`SANDBOX`): the wire of x402 on EVM chains, and nothing behind it.

Any key can sign, everybody has plenty, and what is settled is final at once. Signatures, windows,
amounts and recipients are checked as they are on a chain, by the same code: a client that pays here
pays there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall.effects import query
from paywall.exceptions import Code, Refused
from paywall.models import Account
from paywall.rails.base import Rail, Seen, Unacceptable
from paywall.rails.evm import schemes
from paywall.vocabulary import Paid, Settled, Unspent, Verdict

from . import checkout
from .terms import DECIMALS, NETWORK, PAY_TO, PLENTY, RAIL, SYMBOL, TERMS, made_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from paywall.checkout.methods import PaymentMethod
    from paywall.effects import Steps
    from paywall.models import Payment, Refund
    from paywall.rails.base import Facilitator
    from paywall.vocabulary import (
        Charge,
        Claim,
        Clue,
        Credential,
        Finding,
        Offer,
        Settlement,
    )

_EXACT, _UP_TO = schemes.named("exact"), schemes.named("upto")


class SandboxRail(Rail):
    """Play money. Its accounts are made by themselves, and taken where `SANDBOX` is on alone."""

    name: ClassVar[str] = RAIL
    title: ClassVar[Any] = _("play money (sandbox)")
    is_public: ClassVar[bool] = False
    test_told: ClassVar[Any] = _("sandbox")
    schemes: ClassVar[frozenset[str]] = frozenset({_EXACT.name, _UP_TO.name})

    def play_account(self, currency: str) -> Account:
        return Account(
            rail=RAIL,
            network=NETWORK,
            symbol=SYMBOL,
            decimals=DECIMALS,
            currency=currency,
            terms={"currency": currency},
        )

    # ---------------------------------------------------------------------- Accounts

    def read_terms(self, network: str, terms: Mapping[str, Any]) -> dict[str, Any]:
        if network != NETWORK:
            raise Unacceptable("network", f"The sandbox's network is {NETWORK}.")
        return {"currency": str(terms.get("currency", ""))}

    def account_identity(self, network: str, terms: Mapping[str, Any]) -> str:
        return f"{network}/{terms['currency']}"

    def recipient(self, terms: Mapping[str, Any]) -> str:
        return PAY_TO

    def account_form(self) -> Any:
        from .desk import SandboxAccountForm

        return SandboxAccountForm

    def offered(self, account: Account) -> tuple[str, dict[str, Any]]:
        return _EXACT.name, TERMS

    def offered_by_use(self, account: Account, *, ask: bool) -> tuple[str, dict[str, Any]]:
        how = {"assetTransferMethod": "permit2", "facilitatorAddress": PAY_TO}
        return _UP_TO.name, {**TERMS, "extra": {**TERMS["extra"], **how}}

    def told(self, offer: Offer) -> str:
        return gettext("in play money")

    # ---------------------------------------------------------------- Taking payments

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        return _EXACT.pick(credential, offers)

    def identities(self, credential: Credential, terms: Sequence[Mapping[str, Any]]) -> list[str]:
        return schemes.named(credential.scheme).identities(credential, [TERMS["asset"]])

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        if credential.scheme != offer.scheme:
            raise Refused(Code.NO_MATCHING_OFFER)
        return schemes.named(offer.scheme).read(credential, offer, now, tolerance)

    def is_worth_asking(self, claim: Claim) -> Steps[bool]:
        """Only whether the payer allowed Permit2 at all, which everybody did."""
        return claim.is_signed
        yield

    def can_ask(self, network: str) -> bool:
        return True

    def balance(self, offer: Offer, payer: str) -> Steps[Decimal]:
        return PLENTY
        yield

    def can_afford(self, claim: Claim, offer: Offer) -> Steps[bool]:
        return True
        yield

    def facilitators(self, offer: Offer) -> Steps[list[Facilitator]]:
        return [_Nobody()]
        yield

    def facilitator(self, name: str) -> Facilitator:
        return _Nobody()

    # -------------------------------------------------------------------------- Proof

    def can_find(self, network: str) -> bool:
        return True

    def find(self, charge: Charge, clue: Clue) -> Steps[Finding]:
        """What was settled is final. What was not, because the process died, never will be."""
        if clue.reference:
            return Paid(clue.reference, final=True, evidence={"sandbox": True})
        return Unspent(never=True)
        yield

    # ------------------------------------------------------------------------ Refunds

    def sends_refunds(self) -> bool:
        return True

    def check_refund(self, payment: Payment, sent_in: str, sender: str) -> tuple[str, str]:
        if sent_in:
            raise Unacceptable("sent_in", "Play money is sent back by the sandbox alone.")
        return "", ""

    def send_refund(self, refund: Refund, mark: Callable[[str], None]) -> Steps[None]:
        yield from query(mark, made_up())

    def look_for_refund(self, refund: Refund) -> Steps[Seen]:
        return Seen(True, refund.reference)
        yield

    # --------------------------------------------------------------------- The reader

    def payment_methods(self) -> Sequence[PaymentMethod]:
        return (checkout.PlayMoney(),)


class _Nobody:
    """Settles whatever was signed."""

    name = RAIL

    def settle(self, charge: Charge) -> Steps[Settlement]:
        return Settled(made_up())
        yield

    def verify(self, charge: Charge) -> Steps[Verdict]:
        return Verdict(True)
        yield
