"""x402 `exact` on EVM chains: a fixed amount, by one of the kinds of authorization it knows.

(x402 specs, schemes/exact/scheme_exact_evm.md.) The payload says which: EIP-3009 has an
`authorization`, Permit2 a `permit2Authorization`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paywall.rails.evm.evidence import balance

from .eip3009 import Eip3009
from .permit2 import Permit2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.effects import Steps
    from paywall.rails.evm.rpc import Node, TransactionReceipt
    from paywall.vocabulary import Authorization, Clue, Credential, Finding, Offer

_EIP3009, _PERMIT2 = Eip3009(), Permit2()


class ExactEvm:
    """Sees which kind an authorization is, and leaves the rest to that."""

    name = "exact"

    def extra_for(self, name: str, version: str) -> Mapping[str, str]:
        return {"name": name, "version": version}

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        fitting = [offer for offer in offers if offer.scheme == self.name]
        return _kind_of(credential.payload).pick(credential, fitting)

    def identities(self, credential: Credential, assets: Sequence[str]) -> list[str]:
        return _kind_of(credential.payload).identities(credential, assets)

    def read(
        self, credential: Credential, offer: Offer, now: float, tolerance: float
    ) -> Authorization:
        return _kind_of(credential.payload).read(credential, offer, now, tolerance)

    def is_worth_asking(self, authorization: Authorization, node: Node | None) -> Steps[bool]:
        return _kind_of(authorization.payload).is_worth_asking(authorization, node)

    def can_afford(self, authorization: Authorization, offer: Offer, node: Node) -> Steps[bool]:
        return (yield from balance(node, offer.asset, authorization.payer)) >= offer.amount

    def call(self, payload: Mapping[str, Any], offer: Offer) -> tuple[str, str] | None:
        return _kind_of(payload).call(payload, offer)

    def paid_in(
        self, payload: Mapping[str, Any], offer: Offer, receipt: TransactionReceipt
    ) -> bool:
        return _kind_of(payload).paid_in(payload, offer, receipt)

    def find(
        self, payload: Mapping[str, Any], offer: Offer, node: Node, clue: Clue
    ) -> Steps[Finding]:
        return _kind_of(payload).find(payload, offer, node, clue)


def _kind_of(payload: Mapping[str, Any]) -> Eip3009 | Permit2:
    return _PERMIT2 if _PERMIT2.member in payload else _EIP3009
