"""The work that is found by state: what Celery and `paywall_run` do, in rounds.

The row is the outbox. A lost message delays a payment until the next round and loses nothing;
doing a round twice does no harm.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from paywall import crashpoints, durable, ledger, settlement, tracing
from paywall.effects import run
from paywall.exceptions import Code, LedgerUnavailable, StaleMove
from paywall.holders import throttle
from paywall.ledger import answers, balances, exposure, licenses
from paywall.models import Payment
from paywall.models.payments import State
from paywall.rails import registry
from paywall.rails.base import EndsOrders, Finds, SettlesTogether, Troubles, Unreachable, Watches
from paywall.settlement import refunds

if TYPE_CHECKING:
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
        for payment in _settle_some(payments):
            _count(counts, _work_on(payment, _settle, "waiting"))
        counts += land()
    return counts + land(PATIENCE)


def land(patience: float = 0.0) -> Counter[str]:
    """Look after what was sent and is not seen yet, for up to so many seconds. Returns how many
    payments were "settled"."""
    counts: Counter[str] = Counter()
    for rail in registry.who_can(SettlesTogether):
        counts += _tried(partial(rail.tend, patience))
    return counts


def _tried(work: Callable[[], Counter[str]]) -> Counter[str]:
    """What a rail's work came to. Its trouble is not the next rail's."""
    try:
        return work()
    except (Unreachable, LedgerUnavailable) as error:
        log.warning("A rail cannot be looked after: %s", error)
    except Exception:
        log.exception("A rail could not be looked after")
    return Counter()


def _settle_some(payments: list[Payment]) -> Iterator[Payment]:
    """Settle those that can go together; yields the others, to be settled one by one."""
    by_rail: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments:
        by_rail[payment.rail].append(payment)
    for name, members in by_rail.items():
        rail = registry.able(name, SettlesTogether)
        if rail is None:
            yield from members
            continue
        try:
            yield from rail.settle_together(members)
        except Exception:
            # They are held for a while, and then looked at again.
            log.exception("Payments of the rail %s could not be settled together", name)


def sweep() -> Counter[str]:
    """Resolve what a crash or an unknown outcome left in `claimed` and `settling`.

    Returns how many came to which state, or are still "unknown".
    """
    for duty in (*_chores(), exposure.forgive, throttle.forget_old, *_endings()):
        try:
            duty()
        except (Unreachable, LedgerUnavailable) as error:
            log.warning("%s: %s", _name(duty), error)
        except Exception:
            log.exception("%s failed", _name(duty))
    return land() + _round(_due(_TO_SWEEP), _resolve, "unknown")


def _name(duty: Callable[[], object]) -> str:
    return str(getattr(duty, "__qualname__", duty))


def _chores() -> list[Callable[[], object]]:
    """What the rails themselves have to do now and then."""
    return [rail.chores for rail in registry.who_can(Troubles)]


def _endings() -> list[Callable[[], object]]:
    """Orders whose time has passed (some rails look once more first), what was spent on pages that
    nobody opened, and answers that are kept long enough."""
    own = [name for name in registry.all_() if registry.able(name, EndsOrders) is not None]
    rails = registry.who_can(EndsOrders)
    return [
        *(rail.end_orders for rail in rails),
        partial(ledger.expire_orders, but=own),
        balances.give_back_forgotten,
        answers.forget_old,
        licenses.forget_old,
    ]


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
        reference="",
    )
    keys = list(rows.order_by("closed_at").values_list("pk", flat=True)[:most])
    return ledger.prune(keys) if keys else 0


def confirm_payments() -> Counter[str]:
    """Look for the evidence of settled payments; `confirmed` or `lost` where that is final.

    Returns how many came to which state, or are still "waiting". What no rail can look for is left
    alone.
    """
    counts: Counter[str] = Counter()
    for rail in registry.who_can(Watches):
        counts += _tried(rail.watch)
    counts += _round(_due(_to_confirm()), _confirm, None)
    settled = Payment.objects.using(durable.alias()).open().filter(state=State.SETTLED)
    if waiting := settled.filter(looked_for()).count():
        counts["waiting"] += waiting
    return counts


def unread_since() -> datetime | None:
    """Since when no rail has read on where something waits; None if nothing does."""
    since = [at for rail in registry.who_can(Watches) if (at := rail.unread_since()) is not None]
    return min(since, default=None)


def _to_confirm() -> Q:
    """Settled payments that are looked for one by one: what reading on overlooked, and all of rails
    that do not read on."""
    return _findable(lambda rail: rail.overlooked()) & Q(state=State.SETTLED)


def looked_for() -> Q:
    """Payments whose evidence somebody looks for."""
    return _findable(lambda rail: rail.is_watched())


def _findable(watched: Callable[[Watches], Q]) -> Q:
    """Of rails that read on, those; of rails that are asked for each, all."""
    chosen = Q(pk__in=[])
    for name in registry.all_():
        if (watches := registry.able(name, Watches)) is not None:
            chosen |= Q(rail=name) & watched(watches)
        elif registry.able(name, Finds) is not None:
            chosen |= Q(rail=name)
    return chosen


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
    return _due(_TO_SETTLE | _TO_SWEEP | _to_confirm())


_TO_SETTLE = Q(state=State.CLAIMED, on_credit=True, delivered_at__isnull=False)
_TO_SWEEP = Q(state=State.SETTLING) | Q(state=State.CLAIMED, delivered_at__isnull=True)


def _by_state(payment: Payment) -> None:
    if payment.state == State.SETTLED:
        _confirm(payment)
    elif payment.state == State.CLAIMED and payment.delivered_at is not None:
        _settle(payment)
    else:
        _resolve(payment)


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
        with tracing.about(payment.pk):
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
