"""The only writers: of payments, orders, passes, receipts, and of what is owed.

Elsewhere this is called as `ledger.claim(...)`, `ledger.settled(...)`.
"""

from .claims import Purpose, account, claim, find, prune
from .holds import hold, let_go, take_up, take_up_some
from .passes import grant_pass, restore_pass, revoke_pass
from .payments import (
    asks_another,
    confirmed,
    delivered,
    failed,
    lost,
    moved_to_block,
    note,
    seen_in_block,
    settled,
    settling,
    taken_back,
)

__all__ = [
    "Purpose",
    "account",
    "asks_another",
    "claim",
    "confirmed",
    "delivered",
    "failed",
    "find",
    "grant_pass",
    "hold",
    "let_go",
    "lost",
    "moved_to_block",
    "note",
    "prune",
    "restore_pass",
    "revoke_pass",
    "seen_in_block",
    "settled",
    "settling",
    "take_up",
    "take_up_some",
    "taken_back",
]
