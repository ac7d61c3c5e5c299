"""What the rail asks of a scheme: identity, local checks, and what the chain shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from paywall.exceptions import Code, Refused
from paywall.rails.evm import eip3009

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from paywall.effects import Steps
    from paywall.rails.evm.rpc import Node, TransactionReceipt
    from paywall.vocabulary import Claim, Credential, Finding, Offer

    from ..evidence import Depth


class Scheme(Protocol):
    """One kind of authorization."""

    @property
    def name(self) -> str:
        """Its x402 name, the `scheme` of an offer."""
        ...

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        """The offer that a credential takes where its protocol does not echo one (x402 v1)."""
        ...

    def identities(self, credential: Credential, assets: Sequence[str]) -> list[str]:
        """The identities that a credential can have, if it is for one of the assets.

        Raises `Refused`.
        """
        ...

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        """The claim: the authorization in one spelling, checked against the offer.

        `now` is Unix seconds, `tolerance` how far clocks may differ. Raises `Refused`.
        """
        ...

    def is_worth_asking(self, claim: Claim, node: Node | None) -> Steps[bool]:
        """Whether /verify can know better of an authorization that is not proven here.

        If not, a facilitator that says yes to everything could let a forger in. `node` is None
        where the site has none. Raises `NodeError`.
        """
        ...

    def can_afford(self, claim: Claim, offer: Offer, node: Node) -> Steps[bool]:
        """Whether the payer has the money now. Raises `NodeError`."""
        ...

    def call(self, payload: Mapping[str, Any], offer: Offer) -> tuple[str, str] | None:
        """The contract and the call data that settle it; None if it takes more than one call."""
        ...

    def paid_in(
        self, payload: Mapping[str, Any], offer: Offer, receipt: TransactionReceipt
    ) -> bool:
        """Whether a transaction that carries it moved the money, by the logs."""
        ...

    def find(
        self, payload: Mapping[str, Any], offer: Offer, node: Node, depth: Depth
    ) -> Steps[Finding]:
        """What the chain shows of an authorization, by its canonical payload."""
        ...


SHORTEST = 6
"""Seconds that must be left, as the reference facilitator demands: some blocks."""

SLACK = 600
"""Seconds for which an authorization may be valid beyond its offer's time: clocks differ, and some
wallets round up. One that never ends could be sent again for ever."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a payer agreed to, whatever the kind of authorization."""

    to: str
    value: int
    valid_after: int
    valid_before: int

    def check(self, offer: Offer, now: float, tolerance: float) -> None:
        """Raise `Refused` unless they are the offer's, and of this moment."""
        if self.to != offer.terms["payTo"]:
            raise Refused(Code.WRONG_RECIPIENT)
        if self.value != offer.amount:
            raise Refused(Code.WRONG_AMOUNT)
        if self.valid_after > now + tolerance:
            raise Refused(Code.NOT_YET_VALID)
        # Never forgiven: the token knows only the chain's clock.
        if self.valid_before <= now + SHORTEST:
            raise Refused(Code.EXPIRED)
        if self.valid_before > now + offer.timeout + SLACK:
            raise Refused(Code.VALID_TOO_LONG)


def payload_of(claim: Claim) -> Mapping[str, Any]:
    """A claim's payload: on this rail there always is one."""
    assert claim.payload is not None
    return claim.payload


def has_enough(claim: Claim, offer: Offer, node: Node) -> Steps[bool]:
    """Whether the payer has the money now. Raises `NodeError`."""
    has = yield from node.balance_of(offer.terms["asset"], str(claim.payer))
    return has >= claim.amount


def could_be_contract(claim: Claim, node: Node | None) -> Steps[bool]:
    """Whether a signature can be a contract wallet's (ERC-1271, ERC-6492). Raises `NodeError`.

    One longer than a plain key's says so itself; 65 bytes only if code lives at the payer.
    """
    signature = eip3009.read_signature(payload_of(claim)["signature"])
    if len(signature) != eip3009.PLAIN_SIGNATURE_BYTES:
        return True
    return node is not None and (yield from node.has_code(str(claim.payer)))


_LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC)


def moment(timestamp: int) -> datetime:
    """Unix seconds as a time; an expiry may be any 256-bit number."""
    if timestamp >= _LAST_MOMENT.timestamp():
        return _LAST_MOMENT
    return datetime.fromtimestamp(timestamp, UTC)
