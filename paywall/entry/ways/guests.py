"""Visitors for whom the owner made a rule: some read without paying, some are refused, and in
monitor mode all are let in, and what they would have paid is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paywall import visitors
from paywall.catalog import usage
from paywall.effects import query
from paywall.exceptions import Code, Refused
from paywall.visitors import rules
from paywall.visitors.crawl_log import Ended

from .base import Ticket, Way

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.visitors.rules import Rule

    from .base import Visit


class Guests(Way):
    """For whom rules for visitors let in. Raises `Refused` (403) whom they refuse."""

    name: ClassVar[str] = "rule for visitors"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        known = rules.peek()
        if known is not None and not known.of(visit.sale.resource_id):
            return None
        return self._look(visit)

    def _look(self, visit: Visit) -> Steps[Ticket | None]:
        known = rules.peek() or (yield from query(_load))
        found = known.of(visit.sale.resource_id)
        if not found:
            return None
        return self._by_rule(found, (yield from query(visitors.of, visit.request)), visit)

    def _by_rule(
        self, found: tuple[Rule, ...], visitor: visitors.Visitor, visit: Visit
    ) -> Ticket | None:
        action = rules.action_for(found, visitor)
        if action == rules.Action.REFUSE and not visit.is_part:
            raise Refused(Code.BOT_REFUSED, status=403)
        if visit.sale.is_top_up:
            return None  # nobody's balance grows for nothing
        if action == rules.Action.FREE:
            return Guest(Ended.FREE)
        if action == rules.Action.MONITOR:
            return Guest(Ended.MONITORED)
        return None


def _load() -> rules.Rules:
    """With what is said of what they may do: read as often, for the answer's headers."""
    usage.load()
    return rules.load()


class Guest(Ticket):
    """One who is let in by a rule."""

    def __init__(self, ends: Ended) -> None:
        self.ends = ends
