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
from typing import NamedTuple

from django.db import close_old_connections, connections

from paywall import business_days, conf, durable
from paywall.holders import networks
from paywall.memory import Bounded
from paywall.models import VisitorDay
from paywall.models.exposure import UNITS

from . import claims, recognition, sources
from .visitor import Kind, Proof, Visitor

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


_COLUMNS = tuple(ended.name.lower() for ended in Ended)


class Price(NamedTuple):
    """What it was about."""

    amount: Decimal
    currency: str


NOTHING = Price(Decimal(0), "")


class _Key(NamedTuple):
    resource_id: int
    agent: str
    pays: bool
    visitor: Visitor | None
    currency: str


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
        self.numbers: dict[tuple[_Key, int], int] = defaultdict(int)
        self.units: dict[tuple[_Key, int], int] = defaultdict(int)


class _State:
    counts = _Counts()
    written_at = 0.0
    process = 0


_lock = threading.Lock()
_proven: Bounded[tuple[str, str, str], Visitor | None] = Bounded()
_OTHERS = "(others)"


def is_on() -> bool:
    return conf.get().crawl_log


def count(
    resource_id: int,
    ended: Ended,
    agent: str,
    visitor: Visitor | None,
    price: Price = NOTHING,
    *,
    pays: bool = False,
) -> None:
    """Count one request. Never fails, never asks the database."""
    counts = _State.counts
    key = _Key(resource_id, agent[: claims.LONGEST], pays, visitor, price.currency)
    at = key, int(ended)
    if at not in counts.numbers and len(counts.numbers) >= MOST:
        at = key._replace(agent=_OTHERS, visitor=None), int(ended)
    counts.numbers[at] += 1
    if price.amount:
        counts.units[at] += int(price.amount * UNITS)
    if time.monotonic() - _State.written_at > EVERY:
        _write_soon()


def proven_by_address(agent: str, remote: str, forwarded: str) -> Visitor | None:
    """Whose address it is, by the lists that this process has read. The same answer is kept."""
    key = agent, remote, forwarded
    try:
        return _proven[key]
    except KeyError:
        pass
    found = None
    bot = claims.named_by(agent)
    address = networks.address_in(remote, forwarded) if bot is not None else None
    if bot is not None and address is not None and recognition.is_listed(bot, address):
        found = Visitor(Kind.VERIFIED, bot.name, bot.purpose, Proof.ADDRESS)
    _proven[key] = found
    return found


def forget() -> None:
    """Count anew: what was counted is lost."""
    with _lock:
        _State.counts, _State.written_at = _Counts(), time.monotonic()
    _proven.clear()


# ------------------------------------------------------------------------------- Writing


def _write_soon() -> None:
    """In a thread of its own, one a process. After a fork the child has none, and counts anew."""
    with _lock:
        if time.monotonic() - _State.written_at <= EVERY:
            return
        is_first = _State.process == 0
        if _State.process != os.getpid():
            if not is_first:
                _State.counts = _Counts()  # the parent's, who writes them
            else:
                atexit.register(_write_at_the_end)
            _State.process = os.getpid()
        _State.written_at = time.monotonic()
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
    for (key, ended), number in list(counts.numbers.items()):
        visitor = _who(key)
        purpose = str(visitor.purpose or "")
        kind, bot = str(visitor.kind), visitor.bot[:200]
        at = _Row(day, key.resource_id, kind, bot, key.currency, purpose)
        row = rows.setdefault(at, [0] * (len(Ended) + 2))
        row[ended] += number
        units = counts.units.get((key, ended), 0)
        if ended in (Ended.PAID, Ended.MONITORED):
            row[len(Ended) + (ended == Ended.MONITORED)] += units
    return rows


def _who(key: _Key) -> Visitor:
    if key.visitor is not None and key.visitor.is_verified:
        return key.visitor
    claimed = claims.claimed_by(key.agent)
    if key.pays:
        return Visitor(Kind.PAYING, claimed.bot, claimed.purpose)
    return claimed


_NUMBERS = (*_COLUMNS, "revenue_units", "missed_units")
_ADD = """
INSERT INTO {table} (day, resource_id, kind, bot, currency, purpose, {columns})
VALUES ({places})
ON CONFLICT (day, resource_id, kind, bot, currency) DO UPDATE SET {sums}
"""


@durable.write
def _add(rows: dict[_Row, list[int]]) -> None:
    using = durable.alias()
    connection = connections[using]
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
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)
