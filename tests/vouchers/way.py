"""A way in of a site's own: who shows a library card reads two things for nothing."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from paywall.effects import Steps
from paywall.entry.ways.base import Ticket, Visit, Way

USED: Counter[str] = Counter()
MOST = 2


class LibraryCards(Way):
    name: ClassVar[str] = "library card"

    def admit(self, visit: Visit) -> Steps[Ticket | None]:
        card = visit.request.META.get("HTTP_LIBRARY_CARD", "")
        if not card or visit.is_a_question or USED[card] >= MOST:
            return None
        USED[card] += 1
        return Reading(card)
        yield


class Reading(Ticket):
    def __init__(self, card: str) -> None:
        self.card = card

    def give_back(self) -> Steps[None]:
        USED[self.card] -= 1
        return
        yield
