"""Sent after the ledger committed, with `payment=`. Receivers' errors are logged, not raised."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.dispatch import Signal

if TYPE_CHECKING:
    from paywall.models import Payment

log = logging.getLogger(__name__)

payment_moved = Signal()
"""It came to another state, whichever: for counting."""

payment_settled = Signal()
"""The facilitator named a transaction. Good enough to deliver; not final."""

payment_confirmed = Signal()
"""The chain shows the money, deep enough. Final."""

payment_failed = Signal()
"""It can never settle; nothing was charged."""

payment_lost = Signal()
"""It was settled, and the chain shows otherwise. Passes are revoked."""

payment_refunded = Signal()
"""Money went back, deep enough on the chain; with `refund=`."""


def tell(signal: Signal, payment: Payment, **more: Any) -> None:
    """Send a signal; what its receivers raise is logged."""
    for receiver, answer in signal.send_robust(type(payment), payment=payment, **more):
        if isinstance(answer, Exception):
            log.error("payment=%s: %r failed", payment.pk, receiver, exc_info=answer)
