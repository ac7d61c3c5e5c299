"""What the owner decided about visitors, kept for a second at most.

A rule that names bots goes before one for everybody; of those, one of the resource before one of
all resources; of these, the narrower. `MONITOR` is a rule for everybody and everything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models.signals import post_delete, post_save

from paywall import conf, durable
from paywall.models import Bots, UsageTerms, VisitorRule

from .visitor import Kind, Visitor

Action = VisitorRule.Action

_PROVEN = frozenset({Action.FREE.value, Action.MONITOR.value})
"""What only who proves to be it gets. To be refused, or to pay as all do, saying so is enough."""

_EVERYBODY = VisitorRule.Who.EVERYBODY.value
_WIDTH = {Bots.ONE.value: 0, Bots.ANY.value: 2, _EVERYBODY: 3}


def is_one_of(visitor: Visitor, bots: str, bot: str) -> bool:
    """Whether a visitor is, or says that it is, one of some bots."""
    if visitor.kind not in (Kind.VERIFIED, Kind.CLAIMED):
        return False
    match bots:
        case Bots.ANY:
            return True
        case Bots.ONE:
            return visitor.bot.lower() == bot.lower()
        case _:
            return visitor.purpose == bots


@dataclass(frozen=True, slots=True)
class Rule:
    """One of them."""

    who: str
    bot: str
    resource_id: int | None
    action: str

    def is_about(self, visitor: Visitor) -> bool:
        """Whether it is for who asks, as far as that is proven."""
        if self.who == _EVERYBODY:
            return True
        if self.action in _PROVEN and not visitor.is_verified:
            return False
        return is_one_of(visitor, self.who, self.bot)


class Rules:
    """All of them, in the order in which they are asked."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        def order(rule: Rule) -> tuple[bool, bool, int]:
            return rule.who == _EVERYBODY, rule.resource_id is None, _WIDTH.get(rule.who, 1)

        self._rules = tuple(sorted(rules, key=order))

    def of(self, resource_id: int) -> tuple[Rule, ...]:
        """Those that say something about a resource."""
        return tuple(rule for rule in self._rules if rule.resource_id in (None, resource_id))


def action_for(rules: tuple[Rule, ...], visitor: Visitor) -> str:
    """What becomes of a visitor, by the first rule that is about it."""
    return next((rule.action for rule in rules if rule.is_about(visitor)), Action.PAY.value)


class _Known:
    rules = Rules(())
    stale_at = 0.0


_lock = threading.Lock()


def peek() -> Rules | None:
    """The rules, if they were read lately."""
    return _Known.rules if time.monotonic() < _Known.stale_at else None


def same_for_all_until(resource_id: int) -> float:
    """Until when, on the monotonic clock, no rule makes a difference between a resource's visitors;
    0 where one does, or nobody knows."""
    return 0.0 if _Known.rules.of(resource_id) else _Known.stale_at


def load() -> Rules:
    """The rules from the database, kept for a while."""
    started = time.monotonic()
    rules = Rules(_read())
    with _lock:
        _Known.rules, _Known.stale_at = rules, started + conf.get().cache_seconds
    return rules


@durable.read
def _read() -> list[Rule]:
    rows = VisitorRule.objects.using(durable.alias()).filter(active=True).order_by()
    found = [Rule(*row) for row in rows.values_list("who", "bot", "resource_id", "action")]
    if conf.get().monitor:
        found.append(Rule(_EVERYBODY, "", None, Action.MONITOR.value))
    return found


def forget(**_: Any) -> None:
    """The next request reads them anew."""
    _Known.stale_at = 0.0


for _model in (VisitorRule, UsageTerms):
    for _signal in (post_save, post_delete):
        uid = f"paywall.visitor_rules.{_model.__name__}"
        _signal.connect(forget, sender=_model, dispatch_uid=uid)
