"""Metered months: the counting. Of many at once, none goes past the limit."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F

from paywall import business_days, durable
from paywall.models import MeterCount, MeterRead


@dataclass(frozen=True, slots=True)
class Taken:
    """A free reading."""

    left: int
    """How many more are free this month."""
    counts: tuple[int, ...]
    """What was counted by it; nothing if it had been opened before."""
    resource_id: int


@dataclass(frozen=True, slots=True)
class Limit:
    """So many of one reader's."""

    holder: str
    most: int


@durable.write
def take(meter_id: int, resource_id: int, limits: tuple[Limit, ...]) -> Taken | None:
    """Open a resource for a reader, who is known in one way or more, each with a limit of its own;
    the first of them is the reader. None where one of the limits is reached."""
    using, month = durable.alias(), this_month()
    counts = MeterCount.objects.using(using).filter(meter_id=meter_id, month=month)
    own = limits[0]
    has_read = MeterRead.objects.using(using).filter(resource_id=resource_id)
    if not has_read.filter(count__in=counts.filter(holder=own.holder)).exists() and any(
        counts.filter(holder=limit.holder, used__gte=limit.most).exists() for limit in limits
    ):
        return None  # and nothing is written down
    rows = []
    for limit in limits:
        row, _ = MeterCount.objects.using(using).get_or_create(
            meter_id=meter_id, holder=limit.holder, month=month
        )
        rows.append((row, limit))
    # The row is the lock, also for one who opens the same page twice at once.
    reader = MeterCount.objects.using(using).select_for_update().get(pk=rows[0][0].pk)
    if MeterRead.objects.using(using).filter(count=reader, resource_id=resource_id).exists():
        return Taken(max(0, own.most - reader.used), (), resource_id)
    counted: list[int] = []
    for row, limit in rows:
        mine = MeterCount.objects.using(using).filter(pk=row.pk, used__lt=limit.most)
        if not mine.update(used=F("used") + 1):
            MeterCount.objects.using(using).filter(pk__in=counted).update(used=F("used") - 1)
            return None
        counted.append(row.pk)
    MeterRead.objects.using(using).create(count=reader, resource_id=resource_id)
    return Taken(own.most - reader.used - 1, tuple(counted), resource_id)


@durable.write
def give_back(taken: Taken) -> None:
    """Nothing was delivered: that was no free reading."""
    using = durable.alias()
    if not taken.counts:
        return
    reads = MeterRead.objects.using(using).filter(
        count_id=taken.counts[0], resource_id=taken.resource_id
    )
    if reads.delete()[0]:
        rows = MeterCount.objects.using(using).filter(pk__in=taken.counts, used__gt=0)
        rows.update(used=F("used") - 1)


def forget_old(most: int = 1_000) -> int:
    """Delete what was counted in months that are over."""
    rows = MeterCount.objects.using(durable.alias()).filter(month__lt=this_month())
    keys = list(rows.order_by("month").values_list("pk", flat=True)[:most])
    return MeterCount.objects.using(durable.alias()).filter(pk__in=keys).delete()[0]


def this_month() -> str:
    """As the owner's calendar has it: "2026-11"."""
    return business_days.today().isoformat()[:7]
