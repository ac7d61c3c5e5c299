"""The only writers: of payments, orders, passes, receipts, and of what is owed.

Elsewhere this is called as `ledger.claim(...)`, `ledger.settled(...)`.
"""

from .claims import Purpose, account, claim, find, prune
from .disputes import dispute_ended, disputed
from .holds import hold, let_go, take_up, take_up_some
from .openings import adopt
from .orders import (
    collect_top_ups,
    ended_orders,
    expire_order,
    expire_orders,
    free_reference,
    open_order,
    open_order_of,
    order_of,
    order_paid,
    order_pending,
    order_sent_to,
    to_be_collected,
)
from .passes import (
    add_device,
    grant_pass,
    keep_only,
    restore_pass,
    revoke,
    revoke_gift,
    revoke_pass,
)
from .payments import (
    asks_another,
    confirmed,
    deliver,
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
    "add_device",
    "adopt",
    "asks_another",
    "claim",
    "collect_top_ups",
    "confirmed",
    "deliver",
    "delivered",
    "dispute_ended",
    "disputed",
    "ended_orders",
    "expire_order",
    "expire_orders",
    "failed",
    "find",
    "free_reference",
    "grant_pass",
    "hold",
    "keep_only",
    "let_go",
    "lost",
    "note",
    "open_order",
    "open_order_of",
    "order_of",
    "order_paid",
    "order_pending",
    "order_sent_to",
    "proven_anew",
    "prune",
    "restore_pass",
    "revoke",
    "revoke_gift",
    "revoke_pass",
    "seen_at",
    "settled",
    "settling",
    "take_up",
    "take_up_some",
    "taken_back",
    "to_be_collected",
]
