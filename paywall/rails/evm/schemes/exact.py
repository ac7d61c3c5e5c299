"""x402 `exact` on EVM chains: a fixed amount, by one of the kinds of authorization it knows.

(x402 specs, schemes/exact/scheme_exact_evm.md.) The payload says which: EIP-3009 has an
`authorization`, Permit2 a `permit2Authorization`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import has_enough, payload_of
from .eip3009 import Eip3009
from .permit2 import Permit2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.effects import Steps
    from paywall.rails.evm.evidence import Depth
    from paywall.rails.evm.rpc import Node, TransactionReceipt
    from paywall.vocabulary import Claim, Credential, Finding, Offer

_EIP3009, _PERMIT2 = Eip3009(), Permit2()


class ExactEvm:
    """Sees which kind an authorization is, and leaves the rest to that."""

    name = "exact"

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        fitting = [offer for offer in offers if offer.scheme == self.name]
        return _kind_of(credential.payload).pick(credential, fitting)

    def identities(self, credential: Credential, assets: Sequence[str]) -> list[str]:
        return _kind_of(credential.payload).identities(credential, assets)

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        return _kind_of(credential.payload).read(credential, offer, now, tolerance)

    def is_worth_asking(self, claim: Claim, node: Node | None) -> Steps[bool]:
        return _kind_of(payload_of(claim)).is_worth_asking(claim, node)

    def can_afford(self, claim: Claim, offer: Offer, node: Node) -> Steps[bool]:
        return (yield from has_enough(claim, offer, node))

    def call(self, payload: Mapping[str, Any], offer: Offer) -> tuple[str, str] | None:
        return _kind_of(payload).call(payload, offer)

    def paid_in(
        self, payload: Mapping[str, Any], offer: Offer, receipt: TransactionReceipt
    ) -> bool:
        return _kind_of(payload).paid_in(payload, offer, receipt)

    def find(
        self, payload: Mapping[str, Any], offer: Offer, node: Node, depth: Depth
    ) -> Steps[Finding]:
        return _kind_of(payload).find(payload, offer, node, depth)


def _kind_of(payload: Mapping[str, Any]) -> Eip3009 | Permit2:
    return _PERMIT2 if _PERMIT2.member in payload else _EIP3009
