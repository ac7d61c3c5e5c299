"""Losses of late that nobody has seen to: news at the top of the dashboard."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from paywall import business_days, durable
from paywall.models import Acknowledgement, FailureDay
from paywall.models.rollups import SalesDay
from paywall.reports.rollups import Needs

LATELY = timedelta(days=30)
"""For so long a loss is news."""


def unseen() -> Needs:
    """What was lost, or had on credit and never paid, of the last days, beyond what somebody has
    acknowledged; what is owed, of all."""
    row = Acknowledgement.objects.using(durable.alias()).first()
    known: dict[str, Any] = row.losses if row is not None else {}
    lost = unpaid = 0
    for day, (lost_then, unpaid_then) in _by_day().items():
        seen_lost, seen_unpaid = known.get(day, (0, 0))
        lost += max(0, lost_then - seen_lost)
        unpaid += max(0, unpaid_then - seen_unpaid)
    owed = SalesDay.objects.using(durable.alias()).aggregate(n=Sum("owed"))["n"] or 0
    return Needs(lost, unpaid, owed)


@durable.write
def acknowledge(by: Any) -> None:
    """Somebody has seen to all that there is now."""
    told = {"losses": _by_day(), "at": timezone.now(), "by": by}
    Acknowledgement.objects.using(durable.alias()).update_or_create(pk=1, defaults=told)


def _by_day() -> dict[str, tuple[int, int]]:
    """By the day on which they were sold: lost, and never paid."""
    since = business_days.today() - LATELY
    rows = FailureDay.objects.using(durable.alias()).filter(
        day__gte=since, state__in=("lost", "failed")
    )
    found: dict[str, tuple[int, int]] = {}
    for day, state, payments, delivered in rows.values_list(
        "day", "state", "payments", "delivered"
    ):
        lost, unpaid = found.get(day.isoformat(), (0, 0))
        if state == "lost":
            lost += payments
        else:
            unpaid += delivered
        if lost or unpaid:
            found[day.isoformat()] = lost, unpaid
    return found
