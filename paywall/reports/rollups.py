"""Sums by day, kept by Celery and rebuilt by `manage.py paywall_rollup`: always the raw sums.

A day belongs to the payments that were claimed in it, in the owner's time zone. A day whose
payments moved is added up anew as a whole; which those are, the payments' events say.

What counts as sold is what was settled, and what was delivered on credit and has not failed.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    DateTimeField,
    DecimalField,
    ExpressionWrapper,
    F,
    Func,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, TruncDate
from django.utils import timezone

from paywall import business_days, conf, durable
from paywall.entry.ways import free_quota
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.ledger import meters
from paywall.models import (
    Balance,
    BuyerDay,
    FailureDay,
    Payment,
    PaymentEvent,
    Refund,
    ResourceDay,
    RollUp,
    SalesDay,
)
from paywall.models.exposure import UNITS
from paywall.models.payments import State
from paywall.settlement import worker

if TYPE_CHECKING:
    from paywall.models.payments import PaymentQuerySet

log = logging.getLogger(__name__)

SOLD = Q(state__in=[State.SETTLED, State.CONFIRMED]) | Q(
    state__in=[State.CLAIMED, State.SETTLING], delivered_at__isnull=False
)
NEVER = date(1, 1, 1)

OVERLAP = timedelta(minutes=2)
"""Events are read again for so long: one may be committed after others that were written later."""

ROUND_SECONDS = 60
LEASE = timedelta(seconds=150)

Progress = Callable[[int, int], None]


def in_units(field: str) -> Any:
    """A price in whole units, so that a sum is exact on every database."""
    scaled = ExpressionWrapper(F(field) * UNITS, DecimalField(max_digits=30, decimal_places=8))
    return Cast(Func(scaled, function="ROUND"), BigIntegerField())


def roll_up() -> int:
    """Add up the days whose payments moved since the last time, and some that were never added
    up. Returns how many days; nothing where another worker is at it. The first round of a day
    also forgets how many free requests were had on others, and prunes payments that came to
    nothing (which a later rebuild does not count any more)."""
    deadline, began = time.monotonic() + ROUND_SECONDS, timezone.now()
    state = _take()
    if state is None:
        return 0
    try:
        if business_days.day_of(state.rolled_up_at) < business_days.today():
            free_quota.forget_old()
            meters.forget_old()
            while time.monotonic() < deadline and worker.prune():
                _hold(state)
        newest = _newest_event()
        days = sorted(_stale_days(state), reverse=True)
        failed = [day for day in days if not _tried(day, state)]
        done = len(days) - len(failed) + _do_some(state, deadline)
        if failed:
            _write(state, held_until=timezone.now())
        else:
            _finish(state, newest, began)
    except StaleMove as error:
        log.warning("%s", error)
        return 0
    return done


def _tried(day: date, state: RollUp) -> bool:
    """Add up a day, which stands alone: figures of others do not stand still for it."""
    try:
        _add_up(day)
    except (DatabaseError, LedgerUnavailable, OverflowError):
        log.exception("%s cannot be added up", day)
        return False
    _hold(state)
    return True


def _newest_event() -> int:
    return PaymentEvent.objects.using(durable.alias()).aggregate(at=Max("pk"))["at"] or 0


def rebuild(progress: Progress = lambda done, total: None) -> int:
    """Forget all sums and add them up anew. Returns how many days it were."""
    began = timezone.now()
    state = _state()
    _begin(state)
    last, first = state.to_do, _first_day()
    total = (last - first).days + 1 if last and first else 0
    newest = _newest_event()
    while state.to_do is not None:
        done = _do_some(state, time.monotonic() + 1)
        left = (state.to_do - first).days + 1 if state.to_do and first else 0
        progress(total - left, total)
        if not done:
            break
    _finish(state, newest, began)
    return total


def _payments(day: date) -> PaymentQuerySet:
    start, end = business_days.bounds(day, day)
    payments = Payment.objects.using(durable.alias()).order_by()
    return payments.filter(created_at__gte=start, created_at__lt=end)


def _state() -> RollUp:
    now = timezone.now()
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    state, _ = RollUp.objects.using(durable.alias()).get_or_create(
        pk=1,
        defaults={
            "time_zone": "",
            "noted_at": now,
            "rolled_up_at": long_ago,
            "held_until": long_ago,
        },
    )
    return state


@durable.write
def _take() -> RollUp | None:
    """The row, for whoever adds up now; everything is to do anew if the days are others."""
    state = _state()
    now = timezone.now()
    if state.held_until > now:
        return None
    try:
        _write(state, held_until=now + LEASE)
    except StaleMove:
        return None
    if state.time_zone != str(conf.get().owners_zone()):
        _begin(state)
    return state


@durable.write
def _write(state: RollUp, **changes: Any) -> None:
    """Only for whoever holds the row: `held_until` is what they wrote last, and nobody after them.

    Raises `StaleMove`.
    """
    rows = RollUp.objects.using(durable.alias()).filter(pk=state.pk, held_until=state.held_until)
    if not rows.update(**changes):
        raise StaleMove("another worker adds up: this one was too slow")
    durable.set_fields(state, **changes)


def _hold(state: RollUp) -> None:
    _write(state, held_until=timezone.now() + LEASE)


@durable.write
def _begin(state: RollUp) -> None:
    zone = str(conf.get().owners_zone())
    until = timezone.now() + LEASE
    _write(state, time_zone=zone, to_do=business_days.today(), held_until=until)
    for model in (SalesDay, ResourceDay, FailureDay, BuyerDay):
        model._default_manager.using(durable.alias()).all().delete()


def _finish(state: RollUp, newest: int, began: datetime) -> None:
    """`began`: what happens while a round adds up is looked at by the next one."""
    now = timezone.now()
    changes: dict[str, Any] = {
        "rolled_up_at": began,
        "held_until": now,
        "on_balances": _on_balances(),
    }
    if began - state.noted_at > OVERLAP or not state.next_event:
        changes |= {"event": state.next_event, "next_event": newest, "noted_at": began}
    _write(state, **changes)


def _on_balances() -> dict[str, int]:
    """What readers have paid ahead and not spent."""
    every = Balance.objects.using(durable.alias()).order_by()
    sums = every.values_list("currency").annotate(Sum("units"))
    return {currency: units for currency, units in sums if units}


def _first_day() -> date | None:
    first = Payment.objects.using(durable.alias()).aggregate(at=Min("created_at"))["at"]
    return business_days.day_of(first) if first else None


def _do_some(state: RollUp, deadline: float) -> int:
    """Add up days that never were, the newest first."""
    done, first = 0, _first_day()
    while state.to_do is not None:
        if first is None or state.to_do < first:
            _write(state, to_do=None)
        elif time.monotonic() > deadline:
            break
        else:
            _tried(state.to_do, state)
            _write(state, to_do=state.to_do - timedelta(days=1))
            done += 1
    return done


def _stale_days(state: RollUp) -> set[date]:
    """Yesterday and today; and what events and refunds of late say."""
    using, now = durable.alias(), business_days.today()
    zone = conf.get().owners_zone()
    yesterday = now - timedelta(days=1)
    events = PaymentEvent.objects.using(using).filter(pk__gt=state.event).order_by()
    since = state.rolled_up_at - OVERLAP
    refunds = Refund.objects.using(using).filter(Q(created_at__gte=since) | Q(closed_at__gte=since))
    days = {yesterday, now}
    for rows in (events, refunds.order_by()):
        days |= set(
            rows.annotate(day=TruncDate("payment__created_at", tzinfo=zone))
            .values_list("day", flat=True)
            .distinct()
        )
    start, _ = business_days.bounds(yesterday, yesterday)
    moved = Payment.objects.using(using).filter(pk__in=events.values("payment")).order_by()
    known = moved.filter(created_at__lt=start, payer__isnull=False)
    for payer, at in known.values_list("payer", "created_at"):
        # Whether somebody had bought before also changes the day on which they bought next.
        _, end = business_days.bounds(business_days.day_of(at), business_days.day_of(at))
        bought_later = Payment.objects.using(using).filter(SOLD, payer=payer, created_at__gte=end)
        next_one = bought_later.order_by("created_at").values_list("created_at", flat=True).first()
        if next_one is not None:
            days.add(business_days.day_of(next_one))
    if state.to_do is not None:
        days = {day for day in days if day > state.to_do}
    return days


@durable.write
def _add_up(day: date) -> None:
    """All sums of one day, from its payments."""
    using, start = durable.alias(), business_days.bounds(day, day)[0]
    sold = _payments(day).filter(SOLD)
    not_confirmed = ~Q(state=State.CONFIRMED)
    price = in_units("price")
    _replace(
        SalesDay,
        day,
        [
            SalesDay(day=day, refunded_units=0, **row)
            for row in sold.values("account_id", "policy", "currency").annotate(
                sales=Count("pk"),
                revenue_units=Sum(price),
                fee_units=Coalesce(Sum(in_units("fee")), 0),
                unconfirmed=Count("pk", filter=not_confirmed),
                owed=Count("pk", filter=Q(delivered_at__isnull=True)),
                unconfirmed_units=Sum(
                    Case(When(not_confirmed, then=price), default=Value(0)),
                    output_field=BigIntegerField(),
                ),
            )
        ],
    )
    for key, units in _refunded(day).items():
        account_id, policy, currency = key
        SalesDay.objects.using(using).filter(
            day=day, account_id=account_id, policy=policy, currency=currency
        ).update(refunded_units=units)
    _replace(
        ResourceDay,
        day,
        [
            ResourceDay(day=day, **row)
            for row in sold.values("resource_id", "currency").annotate(
                sales=Count("pk"), revenue_units=Sum(price), last_sale_at=Max("created_at")
            )
        ],
    )
    failed = _payments(day).filter(state__in=[State.FAILED, State.LOST])
    reasons = failed.values_list("state", "error_code").annotate(
        number=Count("pk"), had=Count("pk", filter=Q(delivered_at__isnull=False))
    )
    _replace(
        FailureDay,
        day,
        [
            FailureDay(day=day, state=state, code=code, payments=number, delivered=delivered)
            for state, code, number, delivered in reasons
        ],
    )
    before = (
        Payment.objects.using(using)
        .filter(SOLD, payer=OuterRef("payer"), created_at__lt=start)
        .order_by("-created_at")
        .values("created_at")[:1]
    )
    buyers = (
        sold.filter(payer__isnull=False)
        .values("payer")
        .distinct()
        .annotate(before=Subquery(before, output_field=DateTimeField()))
        .values_list("payer", "before")
    )
    counted = Counter(
        business_days.day_of(at) if at else NEVER for _, at in buyers.iterator(chunk_size=10_000)
    )
    # Of whom a rail does not know is not known either whether they bought before.
    if strangers := sold.filter(payer__isnull=True).count():
        counted[NEVER] += strangers
    _replace(
        BuyerDay,
        day,
        [BuyerDay(day=day, previous_day=at, buyers=number) for at, number in counted.items()],
    )


def _replace(model: Any, day: date, rows: list[Any]) -> None:
    kept = model._default_manager.using(durable.alias())
    kept.filter(day=day).delete()
    kept.bulk_create(rows, batch_size=1000)


def _refunded(day: date) -> dict[tuple[int, str, str], int]:
    """What went back of a day's payments, in units of the currency: what the chain shows of it."""
    start, end = business_days.bounds(day, day)
    refunds = Refund.objects.using(durable.alias()).filter(state=Refund.State.CONFIRMED)
    found: dict[tuple[int, str, str], int] = defaultdict(int)
    fields = ("account_id", "policy", "currency", "price", "captured")
    rows = refunds.filter(payment__created_at__gte=start, payment__created_at__lt=end)
    for part, account_id, policy, currency, price, whole in rows.values_list(
        "amount", *(f"payment__{field}" for field in fields)
    ):
        found[account_id, policy, currency] += int(price * UNITS) * int(part) // int(whole)
    return found


@dataclass(frozen=True, slots=True)
class Needs:
    """What only a person can see to, from the sums by day."""

    lost: int
    unpaid: int
    """Failed, although their buyers had what they asked for."""
    owed: int
    """Paid, and not collected."""


def needs() -> Needs:
    """Of all payments."""
    using = durable.alias()
    rows = (
        FailureDay.objects.using(using)
        .values_list("state")
        .annotate(n=Sum("payments"), had=Sum("delivered"))
    )
    lost, unpaid = 0, 0
    for state, number, had in rows.order_by():
        lost += number if state == "lost" else 0
        unpaid += had if state == "failed" else 0
    owed = SalesDay.objects.using(using).aggregate(n=Sum("owed"))["n"] or 0
    return Needs(lost, unpaid, owed)
