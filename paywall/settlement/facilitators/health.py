"""Which facilitators are well: one that failed some times in a row is asked last for a while.

Shared by all processes through the database, and read at most once a second by each. While all
is well nothing is written.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import F
from django.utils import timezone

from paywall import durable
from paywall.effects import Steps, query
from paywall.exceptions import LedgerUnavailable
from paywall.models import FacilitatorHealth

log = logging.getLogger(__name__)

FAILURES = 3
"""In a row, after which a facilitator is avoided."""

AVOIDED_FOR = timedelta(seconds=30)
"""After which one payment tries it again."""

_READ_EVERY = 1.0


class _Known:
    """What this process read last."""

    until = 0.0
    failing: dict[str, datetime | None] = {}


def in_order(names: list[str]) -> Steps[list[str]]:
    """The names, those to be avoided last."""
    if len(names) < 2:
        return names
    if time.monotonic() > _Known.until:
        yield from query(_read)
    now = timezone.now()
    return sorted(names, key=lambda name: (_Known.failing.get(name) or now) > now)


def failed(name: str, trouble: str) -> Steps[None]:
    """A call did not get through, or was not answered."""
    yield from query(_failed, name, trouble)


def worked(name: str) -> Steps[None]:
    """A call was answered."""
    if time.monotonic() > _Known.until:
        yield from query(_read)
    if name in _Known.failing:
        yield from query(_worked, name)


def _read() -> None:
    rows = FacilitatorHealth.objects.using(durable.alias()).filter(failures__gt=0)
    try:
        _Known.failing = dict(rows.values_list("name", "avoided_until"))
    except DatabaseError:
        log.exception("The facilitators' health could not be read")
    _Known.until = time.monotonic() + _READ_EVERY


def _failed(name: str, trouble: str) -> None:
    try:
        failures = _count_failure(name, trouble)
        if failures >= FAILURES:
            level = logging.ERROR if failures == FAILURES else logging.WARNING
            log.log(level, "The facilitator %s fails: %s", name, trouble)
    except (DatabaseError, LedgerUnavailable):
        log.exception("The facilitator %s fails (%s); that could not be noted", name, trouble)
    _Known.until = 0.0


@durable.write
def _count_failure(name: str, trouble: str) -> int:
    """One more in a row, counted by the database: of two at once, none is lost."""
    now = timezone.now()
    rows = FacilitatorHealth.objects.using(durable.alias())
    rows.bulk_create([FacilitatorHealth(name=name)], ignore_conflicts=True)
    one = rows.filter(name=name)
    one.update(failures=F("failures") + 1, last_trouble=trouble[:300], changed_at=now)
    one.filter(failures__gte=FAILURES).update(avoided_until=now + AVOIDED_FOR)
    return one.values_list("failures", flat=True).get()


@durable.write
def _write_worked(name: str) -> None:
    rows = FacilitatorHealth.objects.using(durable.alias()).filter(name=name)
    rows.update(failures=0, avoided_until=None, changed_at=timezone.now())


def _worked(name: str) -> None:
    try:
        _write_worked(name)
        log.info("The facilitator %s works again", name)
    except (DatabaseError, LedgerUnavailable):
        log.exception("The facilitator %s works again; that could not be noted", name)
    _Known.until = 0.0
