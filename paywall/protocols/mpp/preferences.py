"""Which challenges a client wants, and in which order.

Accept-Payment: evm/charge, stripe/charge;q=0.5, */session;q=0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

MOST = 32
"""Ranges that are read of one header."""


def preferred(text: str, offered: Sequence[T], named: Callable[[T], tuple[str, str]]) -> list[T]:
    """Those of what is offered that a client wants, what it likes best first.

    A header that names nothing of it, or makes no sense, is no reason to offer nothing: then all of
    it is offered, as without one; but what is refused by `q=0` is not.
    """
    if not text:
        return list(offered)
    ranges = [found for part in text.split(",")[:MOST] if (found := _range(part)) is not None]
    if not ranges:
        return list(offered)
    weighed = [(one, _weight(ranges, named(one))) for one in offered]
    wanted = [(one, weight) for one, weight in weighed if weight]
    if not wanted:
        return [one for one, weight in weighed if weight is None]
    return [one for one, _ in sorted(wanted, key=lambda pair: -(pair[1] or 0))]


def _range(part: str) -> tuple[str, str, float] | None:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    method, slash, intent = name.lower().partition("/")
    if not slash or not method or not intent:
        return None
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
            if not 0 <= quality <= 1:
                return None
    return method, intent, quality


def _weight(ranges: list[tuple[str, str, float]], name: tuple[str, str]) -> float | None:
    """By the range that fits most closely; None where none fits."""
    best: tuple[int, float] | None = None
    for method, intent, quality in ranges:
        if method in ("*", name[0]) and intent in ("*", name[1]):
            closeness = 2 * (method != "*") + (intent != "*")
            if best is None or closeness > best[0]:
                best = closeness, quality
    return None if best is None else best[1]
