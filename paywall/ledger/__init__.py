"""The only writers: of payments, orders, passes, receipts, and of what is owed.

Elsewhere this is called as `ledger.claim(...)`, `ledger.settled(...)`.
"""

from .claims import Purpose, account, claim, find, prune
from .holds import hold, let_go, take_up, take_up_some
from .orders import expire_orders, open_order, order_paid, order_sent_to
from .passes import grant_pass, restore_pass, revoke, revoke_pass
from .payments import (
    asks_another,
    confirmed,
    delivered,
    failed,
    lost,
    note,
    proven_anew,
    seen_at,
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
    "expire_orders",
    "failed",
    "find",
    "grant_pass",
    "hold",
    "let_go",
    "lost",
    "note",
    "open_order",
    "order_paid",
    "order_sent_to",
    "proven_anew",
    "prune",
    "restore_pass",
    "revoke",
    "revoke_pass",
    "seen_at",
    "settled",
    "settling",
    "take_up",
    "take_up_some",
    "taken_back",
]
