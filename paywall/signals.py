"""Sent after the ledger committed, with `payment=`. Receivers' errors are logged, not raised."""

from django.dispatch import Signal

payment_settled = Signal()
"""The facilitator named a transaction. Good enough to deliver; not final."""

payment_confirmed = Signal()
"""The chain shows the money, deep enough. Final."""

payment_failed = Signal()
"""It can never settle; nothing was charged."""

payment_lost = Signal()
"""It was settled, and the chain shows otherwise. Passes are revoked."""
