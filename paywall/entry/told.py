"""What the gate and the front door tell each other of a request. Needs nothing of Django."""

from __future__ import annotations

from typing import NamedTuple

FRONT = "paywall.front"
"""The dict in which it does, on what the server has made of the request."""

UNTIL = "until"
"""Until when, on the monotonic clock, everybody is told the same."""
NONCE = "nonce"
"""A word of the answer that is another one for each reader."""
ABOUT = "about"
"""What is sold: the resource's key, and the first currency of its prices."""
WHERE = "where"
"""Its URL, without a query."""
SALE = "sale"
"""How it is sold, where everybody is told the same."""


class Knock(NamedTuple):
    """One who brings nothing, as the server has it."""

    method: str
    query: str
    accept: str
    mode: str
    """Fetch's: "navigate" for a person."""
    preferences: str
    """`Accept-Payment`."""
    agent: str
    remote: str
    forwarded: str

    @property
    def is_of_person(self) -> bool:
        """Whether a browser navigates, or takes HTML."""
        return self.mode == "navigate" or "html" in self.accept
