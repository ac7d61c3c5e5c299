"""What is known of who asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from paywall.bots import Purpose


class Kind(StrEnum):
    """Kinds of visitors, as the dashboard counts them."""

    PAYING = "paying"
    """A program that brings a payment."""
    VERIFIED = "verified"
    """A bot that proves to be it."""
    CLAIMED = "claimed"
    """A bot by its `User-Agent` alone, which anybody can write."""
    BROWSER = "browser"
    UNKNOWN = "unknown"


class Proof(StrEnum):
    """How a bot proves to be it."""

    SIGNATURE = "signature"
    """Web Bot Auth: it signs its requests."""
    ADDRESS = "address"
    """It comes from an address that its owner publishes."""
    DNS = "dns"
    """Its address leads to a name of its owner's, and back (reverse DNS)."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks."""

    kind: Kind
    bot: str = ""
    """Its name; empty for a browser, and where nobody knows."""
    purpose: Purpose | None = None
    proof: Proof | None = None
    covers_payment: bool = True
    """Whether it has signed what it pays for: method, path, and the price that it names. Who is
    known by its address signs nothing."""

    @property
    def is_verified(self) -> bool:
        return self.kind == Kind.VERIFIED


UNKNOWN = Visitor(Kind.UNKNOWN)
BROWSER = Visitor(Kind.BROWSER)
