"""What a `User-Agent` claims to be: by the list of `crawler-user-agents` (extra `crawlers`)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from paywall import conf
from paywall.bots import KNOWN, Bot, Purpose
from paywall.memory import Bounded

from .visitor import BROWSER, UNKNOWN, Kind, Visitor

LONGEST = 256
"""Characters of a `User-Agent` that are looked at."""

_AT_ONCE = 25
"""Patterns in one expression: so many take the least time in all."""

_seen: Bounded[str, Visitor] = Bounded()


def claimed_by(agent: str) -> Visitor:
    """Who it says that it is. The same answer is kept for the same words."""
    agent = agent[:LONGEST]
    found = _seen.get(agent)
    if found is None:
        found = _seen[agent] = _read(agent)
    return found


def named_by(agent: str) -> Bot | None:
    """The bot of the settings that it says to be; nobody has proved anything yet."""
    return _named(agent[:LONGEST]) if _by_agent() else None


def _named(agent: str) -> Bot | None:
    kept = _bots_named()
    try:
        return kept[agent]
    except KeyError:
        pattern = _names()
        found = pattern.search(agent.lower()) if pattern is not None else None
        kept[agent] = bot = _by_agent()[found[0]] if found is not None else None
        return bot


@conf.kept
def _bots_named() -> Bounded[str, Bot | None]:
    return Bounded()


@conf.kept
def _by_agent() -> dict[str, Bot]:
    return {bot.agent: bot for bot in conf.get().known_bots().values() if bot.agent}


@conf.kept
def _names() -> re.Pattern[str] | None:
    """The longest first: `claude-searchbot` is no `claude`."""
    names = sorted(_by_agent(), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names))) if names else None


def _read(agent: str) -> Visitor:
    bot = named_by(agent)
    if bot is not None:
        return Visitor(Kind.CLAIMED, bot.name, bot.purpose)
    for some, entries in _listed():
        if some.search(agent) is not None:
            found = next(entry for entry in entries if re.search(entry["pattern"], agent))
            return Visitor(Kind.CLAIMED, *_told(found))
    return BROWSER if agent.startswith("Mozilla/") else UNKNOWN


@cache
def _listed() -> list[tuple[re.Pattern[str], list[dict[str, Any]]]]:
    """The list's entries, and an expression that finds whether one of some is meant."""
    try:
        import crawleruseragents
    except ImportError:
        return []
    entries = crawleruseragents.CRAWLER_USER_AGENTS_DATA
    parts = [entries[first : first + _AT_ONCE] for first in range(0, len(entries), _AT_ONCE)]
    return [(re.compile("|".join(entry["pattern"] for entry in part)), part) for part in parts]


def _told(entry: dict[str, Any]) -> tuple[str, Purpose]:
    """A bot's name and purpose."""
    pattern = re.sub(r"\[(\w)(\w)\]", lambda found: min(found[1], found[2]), entry["pattern"])
    name = pattern.replace("\\", "").strip("^$/ ")
    if (known := _known().get(name.lower())) is not None:
        return known.name, known.purpose
    return name, _purpose(name, entry.get("tags", []))


@cache
def _known() -> dict[str, Bot]:
    return {name.lower(): bot for name, bot in KNOWN.items()}


def _purpose(name: str, tags: list[str]) -> Purpose:
    """The list has one tag for all that artificial intelligence does: that it fetches for a person,
    a bot's name says; that it searches, a second tag."""
    if "ai-crawler" in tags:
        if re.search(r"-?user\b|fetcher|assist|notebook", name, re.IGNORECASE):
            return Purpose.USER
        return Purpose.SEARCH if "search-engine" in tags else Purpose.TRAIN
    return Purpose.SEARCH if "search-engine" in tags else Purpose.OTHER
