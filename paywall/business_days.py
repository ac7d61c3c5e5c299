"""The owner's days: when they begin and end, in the owner's time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.utils import timezone

from paywall import conf


def day_of(moment: datetime) -> date:
    """The owner's day."""
    return moment.astimezone(conf.get().owners_zone()).date()


def today() -> date:
    return day_of(timezone.now())


def bounds(first: date, last: date) -> tuple[datetime, datetime]:
    """When the first day begins, and when the last one is over."""
    return _beginning(first), _beginning(min(last, _LAST) + timedelta(days=1))


_FIRST, _LAST = date(1970, 1, 2), date(9000, 1, 1)
"""Days that every database and time zone can tell the beginning of."""


def _beginning(day: date) -> datetime:
    day = min(max(day, _FIRST), _LAST)
    midnight = datetime(day.year, day.month, day.day, tzinfo=conf.get().owners_zone())
    return midnight.astimezone(UTC)
