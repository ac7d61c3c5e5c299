"""What stands in the place of a wallet that was forgotten.

It is the same for the same wallet, so that buyers are still counted once; without the site's key
nobody finds the wallet by it. (Its transactions are public: who has one of their hashes does.)
"""

from __future__ import annotations

from paywall import site_key

_PREFIX = "forgotten-"


def of(payer: str) -> str:
    """By which a forgotten payer is known."""
    return f"{_PREFIX}{site_key.digest(payer.lower())[:32]}"


def is_one(payer: str | None) -> bool:
    """Whether it was forgotten who paid."""
    return bool(payer) and str(payer).startswith(_PREFIX)
