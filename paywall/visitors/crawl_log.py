"""How many requests of whom ended how: counted in memory, added to the database now and then.

A request costs a look into a dictionary. What strangers choose (`User-Agent`) is kept no longer
than ten seconds, and no more of it than there is room for; who that was is found out by a thread of
its own, which also writes. A process that is killed loses what it counted since.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import defaultdict
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any, NamedTuple

from django.db import close_old_connections, connections

from paywall import business_days, conf, durable
from paywall.bots import Purpose
from paywall.holders import networks
from paywall.memory import Bounded
from paywall.models import Resource, VisitorDay
from paywall.models.exposure import UNITS

from . import claims, recognition, sources
from .visitor import Kind, Visitor

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two writes of a process."""

MOST = 2_000
"""Different ones that are told apart between two writes; further ones are counted together."""


class Ended(IntEnum):
    """How a request ended, in the order of the columns."""

    ASKED = 0
    PAID = 1
    RETURNED = 2
    FREE = 3
    REFUSED = 4
    MONITORED = 5


COLUMNS = tuple(ended.name.lower() for ended in Ended)

FREE = Decimal(0)

Proven = tuple[str, Purpose | None] | None
"""A bot that has proven to be it, and what it comes for."""


class _Key(NamedTuple):
    ended: int
    resource_id: int
    currency: str
    agent: str
    pays: bool = False
    proven: Proven = None


class _Row(NamedTuple):
    day: date
    resource_id: int
    kind: str
    bot: str
    currency: str
    purpose: str


class _Counts:
    """Since the last write."""

    __slots__ = ("numbers", "units")

    def __init__(self) -> None:
        # A `_Key`, or the same as a plain tuple, which is made in half the time.
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.units: dict[tuple[Any, ...], int] = defaultdict(int)


class _State:
    counts = _Counts()
    due_at = 0.0
    """When it is written next, on the monotonic clock."""
    process = 0


_lock = threading.Lock()
_proven: Bounded[tuple[str, str, str], Proven] = Bounded()
_OTHERS = "(others)"


def is_on() -> bool:
    return conf.get().crawl_log


def count(
    ended: Ended,
    resource_id: int,
    currency: str,
    agent: str,
    proven: Proven = None,
    *,
    pays: bool = False,
    amount: Decimal = FREE,
) -> None:
    """Count one request. Never fails, never asks the database.

    `amount` is what was paid, or would have been, in the currency.
    """
    at = _count((ended, resource_id, currency, agent[: claims.LONGEST], pays, proven))
    if amount:
        _State.counts.units[at] += int(amount * UNITS)


def _count(at: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns under what it was counted."""
    numbers = _State.counts.numbers
    try:
        numbers[at] += 1
    except KeyError:
        if len(numbers) >= MOST:
            at = (*at[:3], _OTHERS, at[4], None)
        numbers[at] = numbers.get(at, 0) + 1
    if time.monotonic() > _State.due_at:
        _write_soon()
    return at


def proven_by_address(agent: str, remote: str, forwarded: str) -> Proven:
    """Whose address it is, by the lists that this process has read. The same answer is kept."""
    bot = claims.named_by(agent)
    if bot is None:
        return None
    key = agent, remote, forwarded
    try:
        return _proven[key]
    except KeyError:
        pass
    found: Proven = None
    address = networks.address_in(remote, forwarded)
    if address is not None and recognition.is_listed(bot, address):
        found = bot.name, bot.purpose
    _proven[key] = found
    return found


def forget() -> None:
    """Count anew: what was counted is lost."""
    with _lock:
        _State.counts, _State.due_at = _Counts(), time.monotonic() + EVERY
    _proven.clear()


# ------------------------------------------------------------------------------- Writing


def _write_soon() -> None:
    """In a thread of its own, one a process. After a fork the child has none, and counts anew."""
    with _lock:
        if time.monotonic() <= _State.due_at:
            return
        is_first = _State.process == 0
        if _State.process != os.getpid():
            if not is_first:
                _State.counts = _Counts()  # the parent's, who writes them
            else:
                atexit.register(_write_at_the_end)
            _State.process = os.getpid()
        _State.due_at = time.monotonic() + EVERY
    threading.Thread(target=_write_and_close, name="paywall-crawl-log", daemon=True).start()


def _write_and_close() -> None:
    close_old_connections()
    try:
        write()
    finally:
        connections.close_all()


def _write_at_the_end() -> None:
    if _State.process == os.getpid():
        _write_and_close()


def write() -> int:
    """Add what was counted to the day's rows. Returns how many rows; what cannot be written is told
    of in the log, and lost: nothing of it is money."""
    with _lock:
        counts, _State.counts = _State.counts, _Counts()
    try:
        if conf.get().bots:
            sources.get()
        _proven.clear()
        rows = _rows(counts)
        if rows:
            _add(rows)
        return len(rows)
    except Exception:
        log.exception("What was counted of visitors cannot be written")
        return 0


def _rows(counts: _Counts) -> dict[_Row, list[int]]:
    day = business_days.today()
    rows: dict[_Row, list[int]] = {}
    for plain, number in list(counts.numbers.items()):
        key = _Key(*plain)
        who = _who(key)
        purpose = str(who.purpose or "")
        at = _Row(day, key.resource_id, str(who.kind), who.bot[:200], key.currency, purpose)
        row = rows.setdefault(at, [0] * (len(Ended) + 2))
        row[key.ended] += number
        if key.ended in (Ended.PAID, Ended.MONITORED):
            row[len(Ended) + (key.ended == Ended.MONITORED)] += counts.units.get(plain, 0)
    return rows


def _who(key: _Key) -> Visitor:
    if key.proven is not None:
        return Visitor(Kind.VERIFIED, *key.proven)
    claimed = claims.claimed_by(key.agent)
    if key.pays:
        return Visitor(Kind.PAYING, claimed.bot, claimed.purpose)
    return claimed


_NUMBERS = (*COLUMNS, "revenue_units", "missed_units")
_ADD = """
INSERT INTO {table} (day, resource_id, kind, bot, currency, purpose, {columns})
VALUES ({places})
ON CONFLICT (day, resource_id, kind, bot, currency) DO UPDATE SET {sums}
"""


@durable.write
def _add(rows: dict[_Row, list[int]]) -> None:
    using = durable.alias()
    connection = connections[using]
    there = Resource.objects.using(using).filter(pk__in={row.resource_id for row in rows})
    keys = set(there.values_list("pk", flat=True))
    table = VisitorDay._meta.db_table
    sql = _ADD.format(
        table=table,
        columns=", ".join(_NUMBERS),
        places=", ".join(["%s"] * (6 + len(_NUMBERS))),
        sums=", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _NUMBERS),
    )
    # In one order, so that two processes do not wait for each other's rows crosswise.
    values = [
        (connection.ops.adapt_datefield_value(row.day), *row[1:], *numbers)
        for row, numbers in sorted(rows.items())
        if row.resource_id in keys
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)
