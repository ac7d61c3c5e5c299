"""Many payments in one transaction of our own: written together, settled one by one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.utils import timezone

from paywall import crashpoints, durable, ledger, settlement
from paywall.effects import query
from paywall.exceptions import StaleMove
from paywall.models import Payment
from paywall.models.payments import State
from paywall.rails.evm import own_transactions
from paywall.settlement import facilitators
from paywall.settlement.facilitators import health

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models import Transaction
    from paywall.rails.evm.rpc import TransactionReceipt

log = logging.getLogger(__name__)

CARRIED_PAUSE = 60
"""Seconds after which a payment that a transaction carries is looked at by itself."""


def carry(
    payments: Sequence[Payment], facilitator: facilitators.OnchainFacilitator
) -> Steps[list[Payment]]:
    """Settle many payments of one network in one transaction; the caller holds them.

    Returns those that have to be settled one by one: a simulation refused them.
    """
    by_identity = {payment.identity: payment for payment in payments}

    def written(transaction: Transaction, orders: list[facilitators.Order]) -> None:
        carried = [by_identity[order.identity] for order in orders]
        ledger.settling(carried, settlement.settle_hold(), facilitator.name, transaction.hash)

    try:
        refused = yield from facilitator.carry([settlement.order(p) for p in payments], written)
    except own_transactions.NotSent as error:
        log.warning("%d payments wait: %s", len(payments), error)
        yield from health.failed(facilitator.name, str(error))
        for payment in payments:
            yield from query(ledger.let_go, payment, due_in=settlement.pause(payment.attempts))
        return []
    except StaleMove as error:
        log.warning("A batch was given up: %s", error)
        return list(payments)
    yield from health.worked(facilitator.name)
    carried = [payment for payment in payments if payment.state == State.SETTLING]
    yield from query(ledger.let_go, *carried, due_in=CARRIED_PAUSE)
    return [by_identity[order.identity] for order in refused]


def landed(transaction: Transaction, receipt: TransactionReceipt) -> Steps[int]:
    """A block has a transaction of ours: settle what it carried and paid. Returns how many.

    Those that somebody holds are left to whoever that is, and what it did not pay to the sweep.
    """
    crashpoints.reach("batch: landed")
    carried = yield from query(_carried_by, transaction)
    paid = [p for p in carried if facilitators.paid_in(settlement.order(p), receipt)]
    unpaid = [p for p in carried if p not in paid]
    settled = 0
    try:
        if paid:
            yield from query(ledger.settled, paid, receipt.transaction)
        settled = len(paid)
    except StaleMove:
        for payment in paid:
            try:
                yield from query(ledger.settled, [payment], receipt.transaction)
                settled += 1
            except StaleMove as error:
                log.warning("payment=%s: %s", payment.pk, error)
    crashpoints.reach("batch: settled")
    if unpaid:
        yield from query(ledger.let_go, *unpaid)
    return settled


def _carried_by(transaction: Transaction) -> list[Payment]:
    identities = transaction.carries.using(durable.alias()).values("identity")
    return list(
        Payment.objects.using(durable.alias()).filter(
            identity__in=identities, state=State.SETTLING, held_until__lte=timezone.now()
        )
    )
