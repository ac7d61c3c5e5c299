"""The work that is found by state: what Celery and `paywall_run` do, in rounds.

The row is the outbox. A lost message delays a payment until the next round and loses nothing;
doing a round twice does no harm.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from paywall import conf, crashpoints, durable, ledger, settlement
from paywall.effects import run
from paywall.exceptions import Code, LedgerUnavailable, StaleMove, Unavailable
from paywall.holders import throttle
from paywall.ledger import exposure
from paywall.models import Payment
from paywall.models.payments import State
from paywall.rails.evm import batches, confirmation, own_transactions
from paywall.rails.evm.rpc import NodeError
from paywall.settlement import facilitators, refunds
from paywall.settlement.facilitators import OnchainFacilitator

if TYPE_CHECKING:
    from paywall.models import Transaction
    from paywall.models.payments import PaymentQuerySet

log = logging.getLogger(__name__)

Work = Callable[["Payment"], None]
"""What is done about one payment that is held."""

ROUND = 200
"""Payments that one round looks at, those that waited longest first."""

ROUND_SECONDS = 60
"""After which a round takes up no more: with a slow node, each payment may take a while."""


PATIENCE = 0.5
"""Seconds for which a round of settling waits at its end for what it sent."""


def settle() -> Counter[str]:
    """Settle what was delivered on credit: in batches where the site settles for itself.

    Returns how many came to which state, or are still "waiting".
    """
    counts = land()
    deadline = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < deadline:
        payments = ledger.take_up_some(_due(_TO_SETTLE), ROUND, settlement.settle_hold())
        if not payments:
            break
        crashpoints.reach("batch: taken up")
        for payment in _settle_in_batches(payments):
            _count(counts, _work_on(payment, _settle, "waiting"))
        counts += land()
    return counts + land(PATIENCE)


def land(patience: float = 0.0) -> Counter[str]:
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
        return 0 if receipt is None else run(batches.landed(transaction, receipt))
    except (NodeError, LedgerUnavailable) as error:
        log.warning("transaction=%s: %s", transaction.hash, error)
    except Exception:
        log.exception("transaction=%s could not be looked after", transaction.hash)
    return 0


def sweep() -> Counter[str]:
    """Resolve what a crash or an unknown outcome left in `claimed` and `settling`.

    Returns how many came to which state, or are still "unknown".
    """
    for duty in (_watch_gas, exposure.forgive, throttle.forget_old):
        try:
            duty()
        except (NodeError, LedgerUnavailable) as error:
            log.warning("%s: %s", duty.__name__, error)
        except Exception:
            log.exception("%s failed", duty.__name__)
    return land() + _round(_due(_TO_SWEEP), _resolve, "unknown")


def _watch_gas() -> None:
    run(own_transactions.watch_gas())


PRUNED_AFTER = timedelta(days=30)


def prune(most: int = 200) -> int:
    """Delete payments that came to nothing long ago: never settled, never delivered, expired, and
    without a transaction. Strangers make them for nothing. Once a day. Returns how many."""
    before = timezone.now() - PRUNED_AFTER
    rows = Payment.objects.using(durable.alias()).filter(
        closed_at__lt=before,
        expires_at__lt=before,
        state=State.FAILED,
        delivered_at__isnull=True,
        settled_at__isnull=True,
        tx_hash="",
    )
    keys = list(rows.order_by("closed_at").values_list("pk", flat=True)[:most])
    return ledger.prune(keys) if keys else 0


def confirm_payments() -> Counter[str]:
    """Read the chains for settled payments; `confirmed` or `lost` where that is final.

    Returns how many came to which state, or are still "waiting". Networks without an RPC URL
    are left alone.
    """
    counts: Counter[str] = Counter()
    for group in confirmation.groups():
        try:
            counts += run(confirmation.scan(group))
        except (NodeError, LedgerUnavailable, StaleMove) as error:
            log.warning("%s cannot be read: %s", group.network, error)
        except Exception:
            log.exception("%s could not be read", group.network)
    counts += _round(confirmation.overlooked(), _confirm, None)
    if waiting := confirmation.waiting().count():
        counts["waiting"] += waiting
    return counts


def see_to_refunds() -> Counter[str]:
    """Send the refunds that were asked for, and look for those that were sent.

    Returns how many are now in which state.
    """
    counts: Counter[str] = Counter()
    land()
    for refund in refunds.due():
        try:
            if refunds.take_up(refund):
                run(refunds.see_to(refund))
                counts[str(refund.state)] += 1
        except LedgerUnavailable as error:
            log.warning("refund=%s: %s", refund.pk, error)
        except Exception:
            log.exception("refund=%s could not be seen to", refund.pk)
    return counts


def look_at(keys: Iterable[int]) -> Counter[str]:
    """Look at some payments now, whenever they are due: the owner asks. None that is held."""
    counts: Counter[str] = Counter()
    chosen = Payment.objects.using(durable.alias()).filter(
        state__in=[State.CLAIMED, State.SETTLING, State.SETTLED]
    )
    for key in keys:
        for payment in ledger.take_up_some(chosen.filter(pk=key), 1, settlement.settle_hold()):
            _count(counts, _work_on(payment, _by_state, "unchanged"))
    return counts


def undone() -> PaymentQuerySet:
    """All that the rounds would take up now, one by one."""
    return _due(_TO_SETTLE | _TO_SWEEP | confirmation.which_are_overlooked())


_TO_SETTLE = Q(state=State.CLAIMED, on_credit=True, delivered_at__isnull=False)
_TO_SWEEP = Q(state=State.SETTLING) | Q(state=State.CLAIMED, delivered_at__isnull=True)


def _by_state(payment: Payment) -> None:
    if payment.state == State.SETTLED:
        _confirm(payment)
    elif payment.state == State.CLAIMED and payment.delivered_at is not None:
        _settle(payment)
    else:
        _resolve(payment)


def _settle_in_batches(payments: list[Payment]) -> Iterator[Payment]:
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
                alone += run(batches.carry(batch, facilitator)) if len(batch) > 1 else batch
            except LedgerUnavailable as error:
                log.warning("A batch of %d could not be written: %s", len(batch), error)
    yield from alone


def _can_carry(facilitator: OnchainFacilitator, payment: Payment) -> bool:
    try:
        return run(facilitator.can_carry(settlement.order(payment)))
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


def _settle(payment: Payment) -> None:
    run(settlement.settle(payment))


def _confirm(payment: Payment) -> None:
    finding = run(settlement.confirm(payment))
    if payment.state == State.SETTLED:
        log.info("payment=%s is not confirmed yet: %s", payment.pk, finding)


def _resolve(payment: Payment) -> None:
    if payment.state == State.CLAIMED:
        # Nothing was sent: the request that held it is gone.
        ledger.failed(payment, Code.ABANDONED)
    else:
        run(settlement.resolve(payment, buyer_waits=False))


def _round(
    due: PaymentQuerySet, work: Callable[[Payment], None], unmoved: str | None
) -> Counter[str]:
    """Take up what is due, one by one."""
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + ROUND_SECONDS
    for _ in range(ROUND):
        if time.monotonic() > deadline:
            break
        try:
            payments = ledger.take_up_some(due, 1, settlement.settle_hold())
        except LedgerUnavailable as error:
            log.warning("Nothing can be taken up: %s", error)
            break
        if not payments:
            break
        _count(counts, _work_on(payments[0], work, unmoved))
    return counts


def _count(counts: Counter[str], outcome: str | None) -> None:
    if outcome is not None:
        counts[outcome] += 1


def _work_on(payment: Payment, work: Work, unmoved: str | None) -> str | None:
    """Work on a payment that is held. Returns the state that it came to, or `unmoved`; None
    if there was trouble, which is logged: it is not the next payment's."""
    origin = payment.state
    try:
        work(payment)
        moved = payment.state != origin
        ledger.let_go(payment, due_in=0 if moved else settlement.pause(payment.attempts))
    except (LedgerUnavailable, StaleMove) as error:
        log.warning("payment=%s: %s", payment.pk, error)
        return None
    except Exception:
        log.exception("payment=%s: the engine could not deal with it", payment.pk)
        return None
    return str(payment.state) if moved else unmoved


def _due(what: Q) -> PaymentQuerySet:
    return Payment.objects.using(durable.alias()).due().filter(what)
