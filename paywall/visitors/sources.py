"""What the worker fetched about bots, as this process read it last, and what it is to fetch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from paywall import durable
from paywall.memory import Bounded
from paywall.models import BotAddress, BotSource

from .addresses import Address, Ranges
from .keys import Key, keys_of

log = logging.getLogger(__name__)

GOOD_FOR = 30.0
"""Seconds after which a process reads them again."""

MOST_STRANGERS = 500
"""Directories that requests pointed to and that are kept; further ones wait for a place."""
MOST_WAITING = 50
"""Of those, that were not fetched yet."""
MOST_ADDRESSES = 20_000


@dataclass(frozen=True, slots=True)
class Sources:
    """All that was fetched, by its URL."""

    ranges: Mapping[str, Ranges] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, Key]] = field(default_factory=dict)
    """By URL and thumbprint: a key is good for its own directory only."""


class Budget:
    """So many things a minute that strangers have this process write down."""

    def __init__(self, most: int) -> None:
        self.most, self._minute, self._taken = most, 0, 0

    def begin(self) -> None:
        """All of it is there again."""
        self._minute, self._taken = int(time.monotonic() // 60), 0

    def take(self) -> bool:
        """Whether there is one left."""
        if int(time.monotonic() // 60) != self._minute:
            self.begin()
        self._taken += 1
        if self._taken == self.most + 1:
            log.warning("Strangers name more bots than can be looked up: the rest is for later")
        return self._taken <= self.most


class _Known:
    sources = Sources()
    stale_at = 0.0


_lock = threading.Lock()
_looked_up: Bounded[tuple[str, str], tuple[bool | None, float]] = Bounded()
_told: Bounded[str, float] = Bounded()
_directories, _addresses = Budget(30), Budget(120)


def last() -> Sources:
    """What this process read last, however old. No query."""
    return _Known.sources


def get() -> Sources:
    """The same, not older than half a minute. May query the database."""
    if time.monotonic() < _Known.stale_at:
        return _Known.sources
    started = time.monotonic()
    found = _load()
    with _lock:
        _Known.sources, _Known.stale_at = found, started + GOOD_FOR
    return found


def forget(**_: Any) -> None:
    """Read them anew."""
    _Known.stale_at = 0.0
    _looked_up.clear()
    _told.clear()
    _directories.begin()
    _addresses.begin()


@durable.read
def _load() -> Sources:
    rows = BotSource.objects.using(durable.alias()).filter(content__isnull=False)
    ranges: dict[str, Ranges] = {}
    keys: dict[str, Mapping[str, Key]] = {}
    for row in rows:
        try:
            if row.kind == BotSource.Kind.ADDRESSES:
                ranges[row.url] = Ranges(row.content or [])
            else:
                keys[row.url] = keys_of(row.content)
        except (ValueError, TypeError, KeyError, ImportError):
            log.exception("What was fetched from %s cannot be read", row.url)
    return Sources(ranges, keys)


def is_by_dns(bot: str, address: Address) -> bool:
    """Whether reverse DNS has shown that an address is a bot's. One that nobody looked up yet is
    put down for the worker, and is not, so far. May query the database."""
    key = bot, str(address)
    kept = _looked_up.get(key)
    if kept is None or time.monotonic() >= kept[1]:
        kept = _looked_up[key] = _verdict(*key), time.monotonic() + GOOD_FOR
    return kept[0] is True


@durable.write
def _verdict(bot: str, address: str) -> bool | None:
    rows = BotAddress.objects.using(durable.alias())
    found = rows.filter(address=address, bot=bot).first()
    if found is not None:
        return found.verified
    if _addresses.take() and rows.count() < MOST_ADDRESSES:
        rows.bulk_create([BotAddress(address=address, bot=bot)], ignore_conflicts=True)
    return None


def want(url: str) -> None:
    """Have the worker fetch a directory of keys that a request points to. Asked again and again it
    costs a query an hour."""
    if time.monotonic() < _told.get(url, 0.0):
        return
    if _directories.take():
        _told[url] = time.monotonic() + 3_600
        _want(url)


@durable.write
def _want(url: str) -> None:
    rows = BotSource.objects.using(durable.alias())
    now = timezone.now()
    if rows.filter(url=url).update(used_at=now):
        # It has a key that nobody here knows: perhaps it is new.
        rows.filter(url=url, fetched_at__lt=now - timedelta(minutes=5)).update(due_at=now)
        return
    strangers = rows.filter(named=False)
    waiting = strangers.filter(content__isnull=True, due_at__lte=now + timedelta(minutes=5)).count()
    if waiting >= MOST_WAITING or strangers.count() >= MOST_STRANGERS:
        return
    row = BotSource(kind=BotSource.Kind.DIRECTORY, url=url, named=False, used_at=now, due_at=now)
    rows.bulk_create([row], ignore_conflicts=True)
