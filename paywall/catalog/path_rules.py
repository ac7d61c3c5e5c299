"""Which resource sells a path: the most specific of the path rules.

A rule is a path of segments; `*` stands for one segment or, within one, for any part of it
(`*.pdf`), and `**` for any number of segments. Segment by segment, from the left, a literal goes
before a pattern, a longer pattern before a shorter, `*` before `**`; then a rule that names its
methods goes before one for all.

Rules are kept as a tree by segments, so a thousand of them are looked up like ten.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.models.signals import post_delete, post_save

from paywall import conf, durable
from paywall.models import Resource
from paywall.models.literals import Literal


@dataclass(frozen=True, slots=True)
class Rule:
    """A resource that sells paths."""

    resource_id: int
    path: str
    methods: frozenset[str]
    """Empty: all."""

    def takes(self, method: str) -> bool:
        return not self.methods or method in self.methods


EXEMPT_APPS = frozenset(
    {"admin", "paywall", "paywall_dashboard", "paywall_discovery", "paywall_fleet"}
)
"""What the owner and the buyers need is not for sale, whatever a rule like /** says."""


class _Pattern(NamedTuple):
    """A segment with `*` in it, and what may follow."""

    segment: str
    branch: _Branch


@dataclass(slots=True)
class _Branch:
    """What may follow the segments up to here."""

    literals: dict[str, _Branch] = field(default_factory=dict)
    patterns: list[_Pattern] = field(default_factory=list)
    any_one: _Branch | None = None
    any_number: _Branch | None = None
    rules: list[Rule] = field(default_factory=list)
    """Those that end here, such with methods first."""


class Rules:
    """Rules, ready to be looked up."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._root = _Branch()
        self.count = 0
        for rule in rules:
            self._add(rule)
            self.count += 1

    def find(self, path: str, method: str = "GET") -> Rule | None:
        """The most specific rule for a decoded path and a method; HEAD goes with GET."""
        return next(self.all(path, method), None)

    def all(self, path: str, method: str = "GET") -> Iterator[Rule]:
        """All rules for a path and a method, the most specific first."""
        method = {"HEAD": "GET"}.get(method, method)
        for rule in self.of_any_method(path):
            if rule.takes(method) or method == "OPTIONS":
                yield rule

    def of_any_method(self, path: str) -> Iterator[Rule]:
        """All rules for a path, whatever their methods. A path that one of them sells is sold for
        every method, or not answered at all."""
        if not self.count:
            return
        seen: set[int] = set()
        for spelling in _spellings(path):
            for rule in _walk(self._root, _segments(spelling), 0, _Walked()):
                if rule.resource_id not in seen:
                    seen.add(rule.resource_id)
                    yield rule

    def _add(self, rule: Rule) -> None:
        branch = self._root
        for segment in _segments(rule.path):
            branch = _grow(branch, segment)
        branch.rules.append(rule)
        branch.rules.sort(key=lambda rule: not rule.methods)


def _grow(branch: _Branch, segment: str) -> _Branch:
    if segment == "**":
        branch.any_number = branch.any_number or _Branch()
        return branch.any_number
    if segment == "*":
        branch.any_one = branch.any_one or _Branch()
        return branch.any_one
    if "*" not in segment:
        return branch.literals.setdefault(segment, _Branch())
    for known in branch.patterns:
        if known.segment == segment:
            return known.branch
    new = _Branch()
    branch.patterns.append(_Pattern(segment, new))
    branch.patterns.sort(key=lambda known: (-len(known.segment.replace("*", "")), known.segment))
    return new


class _Walked:
    """Where a walk has been: nothing is looked at twice, so it costs what the path is long."""

    def __init__(self) -> None:
        self.pairs: set[tuple[int, int]] = set()
        self.skipped_from: dict[int, int] = {}
        """For a branch with `**`, the first place from which all ends were tried."""


def _walk(branch: _Branch, segments: list[str], at: int, walked: _Walked) -> Iterator[Rule]:
    """The rules below a branch for the segments from `at` on, the most specific first."""
    if (id(branch), at) in walked.pairs:
        return
    walked.pairs.add((id(branch), at))
    if at == len(segments):
        yield from branch.rules
    else:
        segment = segments[at]
        literal = branch.literals.get(segment)
        if literal is not None:
            yield from _walk(literal, segments, at + 1, walked)
        for pattern, following in branch.patterns:
            if _fits(pattern, segment):
                yield from _walk(following, segments, at + 1, walked)
        if branch.any_one is not None:
            yield from _walk(branch.any_one, segments, at + 1, walked)
    if branch.any_number is not None:
        first = walked.skipped_from.get(id(branch), len(segments) + 1)
        walked.skipped_from[id(branch)] = min(at, first)
        for end in range(at, first):
            yield from _walk(branch.any_number, segments, end, walked)


def _fits(pattern: str, segment: str) -> bool:
    """Whether a segment is one of a pattern with `*` in it. Each part between stars is looked for
    once, from the left: no input makes it try again."""
    head, *middle, tail = pattern.split("*")
    if len(segment) < len(head) + len(tail):
        return False
    if not (segment.startswith(head) and segment.endswith(tail)):
        return False
    at, end = len(head), len(segment) - len(tail)
    for part in middle:
        found = segment.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _segments(path: str) -> list[str]:
    """A slash at the end makes no difference: Django's `APPEND_SLASH` sees to it."""
    return [segment for segment in path.split("/") if segment]


def _spellings(path: str) -> list[str]:
    """The path, and what it comes to with its dots taken out: neither gets around a rule."""
    plain: list[str] = []
    segments = path.replace("\\", "/").split("/")
    if "." not in segments and ".." not in segments and "\\" not in path:
        return [path]
    for segment in segments:
        if segment == "..":
            plain = plain[:-1]
        elif segment != ".":
            plain.append(segment)
    return [path, "/".join(plain)]


# -------------------------------------------------------------------- The site's own rules


class _Known:
    """What this process read last."""

    rules: Rules | None = None
    stale_at = 0.0


_lock = threading.Lock()


def peek() -> Rules | None:
    """The site's rules, if they were read lately."""
    return _Known.rules if time.monotonic() < _Known.stale_at else None


def load() -> Rules:
    """The site's rules from the database, kept for a while: also those of inactive resources,
    which nobody gets past."""
    started = time.monotonic()
    rules = Rules(read(*row) for row in _rows())
    with _lock:
        _Known.rules, _Known.stale_at = rules, started + conf.get().cache_seconds
    return rules


def _rows() -> list[tuple[int, str, str]]:
    rows = Resource.objects.using(durable.alias()).exclude(path=Literal("")).order_by()
    return sorted(rows.values_list("pk", "path", "methods"))


def read(resource_id: int, path: str, methods: str) -> Rule:
    """A rule as its resource has it."""
    names = (name.strip() for name in methods.split(","))
    return Rule(resource_id, path, frozenset(name for name in names if name))


def forget(**_: object) -> None:
    """The next request reads the rules anew."""
    _Known.stale_at = 0.0


for _signal in (post_save, post_delete):
    _signal.connect(forget, sender=Resource, dispatch_uid="paywall.path_rules")
