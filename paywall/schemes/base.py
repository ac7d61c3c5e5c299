"""What the gate asks of a scheme: identity, local checks, and what the chain shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from paywall.evm.rpc import Node
    from paywall.steps import Steps
    from paywall.vocabulary import Authorization, Credential, Finding, Offer


class Scheme(Protocol):
    """One kind of authorization."""

    @property
    def name(self) -> str:
        """Its x402 name, the `scheme` of an offer."""
        ...

    def extra_for(self, name: str, version: str) -> Mapping[str, str]:
        """An offer's `extra`: what a buyer needs to sign for a token."""
        ...

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        """The offer that a credential takes where its protocol does not echo one (x402 v1)."""
        ...

    def identities(self, credential: Credential, assets: Sequence[str]) -> list[str]:
        """The identities that a credential can have, if it is for one of the assets."""
        ...

    def read(
        self, credential: Credential, offer: Offer, now: float, tolerance: float
    ) -> Authorization:
        """The authorization in one spelling, checked against the offer.

        `now` is Unix seconds, `tolerance` how far clocks may differ. Raises `Refused`.
        """
        ...

    def could_be_contract(self, authorization: Authorization, node: Node | None) -> Steps[bool]:
        """Whether a signature that proves nothing here may be a contract wallet's.

        `node` is None where the site has none. Raises `NodeError`.
        """
        ...

    def find(
        self,
        payload: Mapping[str, Any],
        offer: Offer,
        node: Node,
        *,
        since: datetime,
        confirmations: int,
        transaction: str,
    ) -> Steps[Finding]:
        """What the chain shows of an authorization, by its canonical payload."""
        ...
