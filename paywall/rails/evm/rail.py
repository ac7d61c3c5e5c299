"""The rail of stablecoins on EVM chains, as the rest of the house sees it.

Each ability is a room of this package; here stands which.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext_lazy as _

from paywall import conf
from paywall.effects import run
from paywall.exceptions import Code, Refused
from paywall.rails.base import Network, Rail
from paywall.settlement.settling import TRANSACTION_FAILED
from paywall.vocabulary import Rejected, Unknown

from . import (
    batches,
    buying,
    checkout,
    checks,
    confirmation,
    doctor,
    facilitators,
    finding,
    means,
    networks,
    news,
    nodes,
    orders,
    own_transactions,
    reconciliation,
    refunds,
    schemes,
    sign_in,
    sponsoring,
    supported,
    terms,
    tokens,
)
from .addresses import checksum, is_transaction_hash
from .gas import watch_gas
from .schemes.base import payload_of
from .serving import answers

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    import httpx
    from django.core.checks import CheckMessage
    from django.db.models import Q
    from django.http import HttpRequest, HttpResponse

    from paywall.checkout.methods import PaymentMethod
    from paywall.effects import Steps
    from paywall.findings import Finding as Examined
    from paywall.models import Account, Payment, Refund
    from paywall.rails.base import Bid, Coin, Comparison, Facilitator, Seen
    from paywall.secret import Secret
    from paywall.vocabulary import (
        Charge,
        Claim,
        Clue,
        Credential,
        Finding,
        News,
        Offer,
        Settlement,
    )

_EXACT, _UP_TO = schemes.named("exact"), schemes.named("upto")


_PART_OF_ADDRESS = re.compile(r"(?P<head>0x[0-9a-fA-F]{3,39})((…|\.\.\.?)(?P<tail>[0-9a-fA-F]*))?")
"""How receipts shorten one, or what somebody remembers of it; letters as they stand there."""


class EvmRail(Rail):
    """Tokens by x402's schemes `exact` (EIP-3009, or Permit2) and `upto` (Permit2)."""

    name: ClassVar[str] = terms.RAIL
    title: ClassVar[Any] = _("stablecoin (EVM)")
    schemes: ClassVar[frozenset[str]] = frozenset({_EXACT.name, _UP_TO.name})
    fixed_terms: ClassVar[frozenset[str]] = terms.FIXED

    # ---------------------------------------------------------------------- Accounts

    def read_terms(self, network: str, terms_: Mapping[str, Any]) -> dict[str, Any]:
        return terms.read(network, terms_)

    def account_identity(self, network: str, terms_: Mapping[str, Any]) -> str:
        return f"{network}/{terms_['asset']}/{terms_['pay_to']}"

    def recipient(self, terms_: Mapping[str, Any]) -> str:
        return str(terms_["pay_to"])

    def is_laxer(self, after: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        if after["finalized"]:
            return False
        return bool(before["finalized"] or after["confirmations"] < before["confirmations"])

    def account_form(self) -> Any:
        from .desk import EvmAccountForm

        return EvmAccountForm

    def offered(self, account: Account) -> tuple[str, dict[str, Any]]:
        its = terms.of(account)
        return _EXACT.name, {
            "asset": its.asset,
            "payTo": its.pay_to,
            "extra": {"name": its.eip712_name, "version": its.eip712_version},
        }

    def offered_by_use(self, account: Account, *, ask: bool) -> tuple[str, dict[str, Any]] | None:
        facilitator = supported.address(account, ask=ask)
        if facilitator is None:
            return None
        _, its = self.offered(account)
        how = {"assetTransferMethod": "permit2", "facilitatorAddress": facilitator}
        return _UP_TO.name, {**its, "extra": {**its["extra"], **how}}

    def extensions(self, offers: Sequence[Offer]) -> Mapping[str, Any]:
        if conf.get().gas_sponsoring and any(map(supported.sponsors, offers)):
            return {sponsoring.NAME: sponsoring.DECLARATION}
        return {}

    def network(self, id_: str) -> Network | None:
        try:
            networks.chain_id(id_)
        except ValueError:
            return None
        return Network(id_, networks.title(id_), networks.is_testnet(id_))

    # ---------------------------------------------------------------- Taking payments

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        return _EXACT.pick(credential, offers)

    def identities(self, credential: Credential, terms: Sequence[Mapping[str, Any]]) -> list[str]:
        scheme = schemes.named(credential.scheme)
        return scheme.identities(credential, sorted({its["asset"] for its in terms}))

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        if credential.scheme != offer.scheme:
            raise Refused(Code.NO_MATCHING_OFFER)
        return schemes.named(offer.scheme).read(credential, offer, now, tolerance)

    def is_worth_asking(self, claim: Claim) -> Steps[bool]:
        scheme = schemes.of(payload_of(claim))
        return (yield from scheme.is_worth_asking(claim, nodes.of(claim.network)))

    def can_ask(self, network: str) -> bool:
        return nodes.of(network) is not None

    def balance(self, offer: Offer, payer: str) -> Steps[Decimal]:
        return means.balance(offer, payer)

    def can_afford(self, claim: Claim, offer: Offer) -> Steps[bool]:
        return means.can_afford(claim, offer)

    def facilitators(self, offer: Offer) -> Steps[list[Facilitator]]:
        return facilitators.for_offer(offer)

    def facilitator(self, name: str) -> Facilitator:
        return facilitators.get(name)

    def settle_together(self, payments: Sequence[Payment]) -> Iterator[Payment]:
        return batches.settle_together(payments)

    def tend(self, patience: float) -> Counter[str]:
        return batches.tend(patience)

    # -------------------------------------------------------------------------- Proof

    def can_find(self, network: str) -> bool:
        return nodes.of(network) is not None

    def find(self, charge: Charge, clue: Clue) -> Steps[Finding]:
        return finding.find(charge, clue)

    def watch(self) -> Counter[str]:
        return confirmation.watch() + orders.watch()

    def overlooked(self) -> Q:
        return confirmation.overlooked()

    def is_watched(self) -> Q:
        return confirmation.is_watched()

    def unread_since(self) -> datetime | None:
        return confirmation.unread_since()

    def explain(
        self, charge: Charge, facilitator: Facilitator, answer: Settlement
    ) -> Steps[Settlement]:
        """Without a node: the facilitator sent a transaction and says that it failed.

        It may have failed because somebody else submitted the authorization first: then the money
        is here. Only if the facilitator's simulation still gets as far as the payer's balance is
        the nonce unused, and the transaction had nothing to move.
        """
        if not isinstance(answer, Unknown) or answer.reason != TRANSACTION_FAILED:
            return answer
        verdict = yield from facilitator.verify(charge)
        poor = ("invalid_exact_evm_insufficient_balance", "insufficient_funds")
        if verdict.valid is False and verdict.reason in poor:
            return Rejected(verdict.reason)
        return answer

    def reconcile(
        self, since: datetime | None, progress: Callable[[int, int], None]
    ) -> list[Comparison]:
        return list(reconciliation.reconcile(since, progress))

    # ------------------------------------------------------------------------ Refunds

    def sends_refunds(self) -> bool:
        return refunds.sends()

    def check_refund(self, payment: Payment, sent_in: str, sender: str) -> tuple[str, str]:
        return refunds.check(payment, sent_in, sender)

    def send_refund(self, refund: Refund, mark: Callable[[str], None]) -> Steps[None]:
        return refunds.send(refund, mark)

    def look_for_refund(self, refund: Refund) -> Steps[Seen]:
        return refunds.look(refund)

    # --------------------------------------------------------------------- The reader

    def payment_methods(self) -> Sequence[PaymentMethod]:
        return checkout.Wallet(), checkout.Handler(), checkout.Transfer()

    # ----------------------------------------------------------------------- The desk

    def reference_url(self, network: str, reference: str) -> str | None:
        return networks.transaction_url(network, reference)

    def party_url(self, network: str, party: str) -> str | None:
        return networks.address_url(network, party)

    def position_url(self, network: str, position: int) -> str | None:
        return networks.block_url(network, position)

    def spelled(self, text: str) -> tuple[str, str] | None:
        if is_transaction_hash(text):
            return "reference", text.lower()
        try:
            return "payer", checksum(text)
        except ValueError:
            found = _PART_OF_ADDRESS.fullmatch(text)
            return ("payers", f"{found['head']}…{found['tail'] or ''}") if found else None

    def balance_text(self, account: Account) -> str:
        from . import desk

        return desk.balance_text(account)

    def trial(self, request: HttpRequest, account: Account) -> dict[str, Any]:
        from . import desk

        return desk.trial(request, account)

    def check_settings(self) -> Iterator[CheckMessage]:
        return checks.check_settings()

    def check_account(self, account: Account) -> Iterator[CheckMessage]:
        return checks.check_account(account)

    def examine(self, accounts: Sequence[Account]) -> Iterator[Examined]:
        return doctor.examine(accounts)

    def news(self) -> Iterator[News]:
        return news.news()

    def chores(self) -> None:
        supported.refresh()
        run(watch_gas())

    def forget(self, identities: Sequence[str], what: Collection[str]) -> None:
        own_transactions.forget(identities, what)

    # ----------------------------------------------------------------- Beyond the shop

    def can_sign_in(self) -> bool:
        return sign_in.can()

    def signed_in(self, request: HttpRequest) -> str | None:
        return sign_in.signed_in(request)

    def holdings(self, terms: Mapping[str, Any], network: str, payer: str) -> Steps[int | None]:
        node = nodes.of(network)
        if node is None:
            return None
        return (yield from node.balance_of(terms["asset"], payer))

    def coins(self) -> list[Coin]:
        return tokens.coins(self.name)

    def bids(self, response: httpx.Response, key: Secret) -> list[Bid]:
        return buying.bids(response, key)

    def answer_verify(self, request: HttpRequest, client: str) -> HttpResponse:
        return answers.verify(request, client)

    def answer_settle(self, request: HttpRequest, client: str) -> HttpResponse:
        return answers.settle(request, client)

    def answer_supported(self, request: HttpRequest, client: str) -> HttpResponse:
        return answers.supported(request, client)
