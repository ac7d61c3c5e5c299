"""Many payments in one transaction of our own: written together, settled one by one."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from django.utils import timezone

from paywall import conf, crashpoints, durable, ledger, settlement
from paywall.effects import query, run
from paywall.exceptions import LedgerUnavailable, StaleMove, Unavailable
from paywall.models import Payment
from paywall.models.payments import State
from paywall.settlement.facilitators import health

from . import facilitators, own_transactions
from .gas import NotSent
from .onchain import OnchainFacilitator, paid_in
from .rpc import NodeError

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models import Transaction
    from paywall.vocabulary import Charge

    from .rpc import TransactionReceipt

log = logging.getLogger(__name__)

CARRIED_PAUSE = 60
"""Seconds after which a payment that a transaction carries is looked at by itself."""


def carry(payments: Sequence[Payment], facilitator: OnchainFacilitator) -> Steps[list[Payment]]:
    """Settle many payments of one network in one transaction; the caller holds them.

    Returns those that have to be settled one by one: a simulation refused them.
    """
    by_identity = {payment.identity: payment for payment in payments}

    def written(transaction: Transaction, charges: list[Charge]) -> None:
        carried = [by_identity[charge.identity] for charge in charges]
        ledger.settling(carried, settlement.settle_hold(), facilitator.name, transaction.hash)

    try:
        refused = yield from facilitator.carry([settlement.charge(p) for p in payments], written)
    except NotSent as error:
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
    return [by_identity[charge.identity] for charge in refused]


def landed(transaction: Transaction, receipt: TransactionReceipt) -> Steps[int]:
    """A block has a transaction of ours: settle what it carried and paid. Returns how many.

    Those that somebody holds are left to whoever that is, and what it did not pay to the sweep.
    """
    crashpoints.reach("batch: landed")
    carried = yield from query(_carried_by, transaction)
    paid = [p for p in carried if paid_in(settlement.charge(p), receipt)]
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


def settle_together(payments: Sequence[Payment]) -> Iterator[Payment]:
    """Settle those that can go together; yields the others, to be settled one by one."""
    alone: list[Payment] = []
    together: dict[tuple[str, str], list[Payment]] = defaultdict(list)
    own: dict[int, OnchainFacilitator | None] = {}
    for payment in payments:
        if payment.account_id not in own:
            own[payment.account_id] = _own_facilitator(payment.account_id)
        facilitator = own[payment.account_id]
        if facilitator is not None and _can_carry(facilitator, payment):
            together[facilitator.name, payment.network].append(payment)
        else:
            alone.append(payment)
    most = conf.get().batch_size
    for (name, _), members in together.items():
        facilitator = OnchainFacilitator(name, conf.get())
        for start in range(0, len(members), most):
            batch = members[start : start + most]
            try:
                alone += run(carry(batch, facilitator)) if len(batch) > 1 else batch
            except LedgerUnavailable as error:
                log.warning("A batch of %d could not be written: %s", len(batch), error)
    yield from alone


def _can_carry(facilitator: OnchainFacilitator, payment: Payment) -> bool:
    try:
        return run(facilitator.can_carry(settlement.charge(payment)))
    except NodeError as error:
        log.warning("payment=%s goes alone: %s", payment.pk, error)
        return False


def _own_facilitator(account_id: int) -> OnchainFacilitator | None:
    """The site's own facilitator, if it is the one to ask first for an account."""
    try:
        first, *_ = run(facilitators.for_account(account_id))
    except Unavailable:
        return None
    return first if isinstance(first, OnchainFacilitator) else None


def tend(patience: float = 0.0) -> Counter[str]:
    """Look after our own transactions: settle what those in a block carried, send the others
    again, or for higher fees. Returns how many payments were "settled".

    Chains with quick blocks are waited for, up to `patience` seconds.
    """
    counts: Counter[str] = Counter()
    deadline, interval = time.monotonic() + patience, 0.01
    while True:
        unfinished = own_transactions.unfinished()
        for transaction in unfinished:
            counts["settled"] += _tend(transaction)
        if not unfinished or time.monotonic() + interval > deadline:
            return +counts
        time.sleep(interval)
        interval *= 2


def _tend(transaction: Transaction) -> int:
    """Look after one transaction. Returns how many payments it settled."""
    try:
        receipt = run(own_transactions.tend(transaction))
        return 0 if receipt is None else run(landed(transaction, receipt))
    except (NodeError, LedgerUnavailable) as error:
        log.warning("transaction=%s: %s", transaction.hash, error)
    except Exception:
        log.exception("transaction=%s could not be looked after", transaction.hash)
    return 0
