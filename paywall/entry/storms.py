"""More requests than the site can answer: who brings nothing costs it less, so that who pays gets
through.

A process counts the requests of each second that brought nothing and that Django answered. Of more
than `STORM` of them programs get their 402 at the front door, without Django; of four times as many
all get a 429. Only at addresses where the last one who asked was told a price: what is free is kept
from nobody.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.encoding import iri_to_uri

from paywall import conf
from paywall.exceptions import SENTENCES, Code
from paywall.memory import Bounded
from paywall.protocols.problem import problem
from paywall.visitors.crawl_log import Ended
from paywall.vocabulary import Asked

from . import counting, responses
from .told import ABOUT, SALE, UNTIL, WHERE, Knock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.catalog.offers import ForSale

Place = tuple[str, ...]
"""A scheme, a host, a path, and what else says where somebody asks."""


ALL_AFTER = 4
"""So many times `STORM`, and even that is too much."""


@dataclass(frozen=True, slots=True)
class Sold:
    """What was asked for where, and how it is sold where everybody is told the same."""

    about: tuple[int, str]
    url: str
    """Without a query."""
    sale: ForSale | None
    until: float


class Short(NamedTuple):
    """An answer that costs little."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class Storm:
    """What one process has answered in this second."""

    def __init__(self) -> None:
        self.sold: Bounded[Place, Sold] = Bounded()
        self._second = 0
        self._full = self._all = 0

    def passed(self, place: Place, told: Mapping[str, Any], status: int, now: float) -> None:
        """The site itself has answered one that brought nothing."""
        if status != 402 or ABOUT not in told:
            if place in self.sold:
                del self.sold[place]
            return
        self._begin(now)
        self._full += 1
        self._all += 1
        self.sold[place] = Sold(told[ABOUT], told[WHERE], told.get(SALE), told.get(UNTIL, 0.0))

    def answer(self, place: Place, knock: Knock, now: float) -> Short | None:
        """What is answered at once; None where the site is asked."""
        sold = self.sold.get(place)
        if sold is None:
            return None
        self._begin(now)
        limit = conf.get().storm
        if self._all >= ALL_AFTER * limit:
            counting.asked(sold.about, knock.agent, knock.remote, knock.forwarded, Ended.REFUSED)
            return _come_again(knock)
        if (
            self._full < limit
            or knock.is_of_person
            or sold.sale is None
            or time.monotonic() >= sold.until
        ):
            return None
        self._all += 1
        counting.asked(sold.about, knock.agent, knock.remote, knock.forwarded)
        return _challenge(sold.sale, sold.url, knock)

    def _begin(self, now: float) -> None:
        if int(now) != self._second:
            self._second, self._full, self._all = int(now), 0, 0


def _challenge(sale: ForSale, url: str, knock: Knock) -> Short:
    """What the gate would say, of the offers that are kept."""
    if knock.query:
        url = f"{url}?{iri_to_uri(knock.query)}"  # as Django has it
    seen = Asked(url, method=knock.method, preferences=knock.preferences)
    told = responses.challenge_to(seen, sale, knock.accept)
    headers = [*told.headers.items(), ("Content-Length", str(len(told.content)))]
    return Short(402, "Payment Required", headers, told.content)


_PAGE = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" '
    b'content="%d"><meta name="viewport" content="width=device-width"><title>One moment</title>'
    b"</head><body><p>Very many are here at the moment. This page tries again by itself.</p></body>"
    b"</html>"
)


def _come_again(knock: Knock) -> Short:
    """429 with `Retry-After` (RFC 6585)."""
    wait = conf.get().retry_after
    if knock.is_of_person:
        kind, body = "text/html; charset=utf-8", _PAGE % wait
    else:
        kind, body = "application/problem+json", _busy()
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(wait)),
        ("Cache-Control", "no-store"),
    ]
    return Short(429, "Too Many Requests", headers, b"" if knock.method == "HEAD" else body)


@conf.kept
def _busy() -> bytes:
    code = Code.TOO_BUSY
    return json.dumps(problem(429, code, SENTENCES[code], retry="later")).encode()
