"""Disputes: what a payment opened closes while its bank decides, and the books say how it ended."""

from __future__ import annotations

import logging

from django.utils import timezone

from paywall import durable
from paywall.exceptions import Code
from paywall.ledger import openings, payments
from paywall.models import Dispute, Payment
from paywall.models.payments import State

log = logging.getLogger(__name__)


@durable.write
def disputed(payment: Payment, reference: str, amount: int, reason: str) -> Dispute:
    """The payer's bank wants `amount` (atomic units) of a payment back: what it opened closes. Told
    of once more, it changes nothing."""
    using = durable.alias()
    # The payment's row is the lock: of two who tell of it at once, one writes it.
    Payment.objects.using(using).select_for_update().get(pk=payment.pk)
    dispute, is_new = Dispute.objects.using(using).get_or_create(
        reference=reference,
        defaults={"payment": payment, "amount": str(amount), "reason": reason[:100]},
    )
    if is_new:
        closed, spent = openings.close(payment)
        if closed:
            dispute.revoked_pass = True
            dispute.save(using=using, update_fields=["revoked_pass"])
        more = {"spent_already": str(spent)} if spent else {}
        payments.note(
            payment, "disputed", dispute=reference, amount=str(amount), why=reason, **more
        )
        log.error("payment=%s is disputed (%s): %s", payment.pk, reference, reason)
    return dispute


@durable.write
def dispute_ended(dispute: Dispute, *, won: bool) -> bool:
    """The bank has decided. Won, what the payment had opened is open again; lost, the payment is
    `lost`. Whether this told something new. Raises `StaleMove`."""
    using = durable.alias()
    rows = Dispute.objects.using(using).filter(pk=dispute.pk, state=Dispute.State.OPEN)
    state = Dispute.State.WON if won else Dispute.State.LOST
    if not rows.move(state, closed_at=timezone.now()):
        return False
    payment = Payment.objects.using(using).get(pk=dispute.payment_id)
    payments.note(payment, f"dispute {state}", dispute=dispute.reference)
    if won:
        openings.reopen(payment, passes=dispute.revoked_pass)
    elif not won and payment.state in (State.SETTLED, State.CONFIRMED):
        payments.lost(payment, Code.DISPUTE_LOST, f"dispute {dispute.reference}: {dispute.reason}")
    return True
