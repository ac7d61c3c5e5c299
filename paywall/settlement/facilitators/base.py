"""What the settlement asks of a facilitator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.effects import Steps
    from paywall.vocabulary import Offer, Settlement


@dataclass(frozen=True, slots=True)
class Order:
    """One authorization to be verified or settled, for one of our offers."""

    offer: Offer
    payload: Mapping[str, Any]
    """The scheme's canonical payload."""
    payer: str
    url: str
    identity: str
    """By which the authorization is known, whoever asks again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What /verify says. `valid` None: it could not be asked, or its answer proves nothing."""

    valid: bool | None
    reason: str = ""


class Facilitator(Protocol):
    """Brings authorizations onto the chain."""

    @property
    def name(self) -> str:
        """What the settings call it."""
        ...

    def settle(self, order: Order) -> Steps[Settlement]:
        """Settle. What cannot be proven by the answer is `Unknown`, never an exception."""
        ...

    def verify(self, order: Order) -> Steps[Verdict]:
        """Check an authorization without using it. Never raises."""
        ...
