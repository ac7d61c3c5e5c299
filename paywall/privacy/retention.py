"""What `RETENTION` has go is forgotten, by rounds in the background.

Rows are walked through once, in the order of their keys, up to the age that is set. Of some of
them somebody may still need it: once in a while the walk begins anew.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone

from paywall import conf, durable
from paywall.ledger import forgetting
from paywall.models import BalanceEntry, Order, Payment, RetentionMark
from paywall.models.payments import State
from paywall.settlement import worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import Model

BATCH = 200
ROUND_SECONDS = 30
WALK_AGAIN_AFTER = timedelta(days=30)

_OF_ORDERS = ("urls", "users")


def prune(seconds: float = ROUND_SECONDS) -> Counter[str]:
    """Forget what is older than `RETENTION` has it, for up to so many seconds. Returns how many
    rows were looked at, by what was to be forgotten of them."""
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    for what, days in conf.get().retention.items():
        before = timezone.now() - timedelta(days=days)
        for model, work in _works(what):
            counts[what] += _walk(what, model, before, work, deadline)
    return counts


def also_final() -> Q:
    """Settled payments of rails that nobody watches, since there is no node: they are never
    confirmed."""
    return Q(state=State.SETTLED) & ~worker.looked_for()


def _works(what: str) -> list[tuple[type[Model], Callable[[Sequence[int]], object]]]:
    of_payments = partial(forgetting.forget, what=(what,), also_final=also_final())
    if what not in _OF_ORDERS:
        return [(Payment, of_payments)]
    return [
        (Payment, of_payments),
        *((m, partial(forgetting.forget_beside, m, what=(what,))) for m in (Order, BalanceEntry)),
    ]


def _walk(
    what: str,
    model: type[Model],
    before: datetime,
    work: Callable[[Sequence[int]], object],
    deadline: float,
) -> int:
    mark = _mark(f"{what} of {model._meta.model_name}")
    looked_at = 0
    while time.monotonic() < deadline:
        keys = _next(model, mark.done_to, before)
        if not keys:
            break
        work(keys)
        looked_at += len(keys)
        _move(mark, keys[-1])
    return looked_at


def _next(model: Any, after: int, before: datetime) -> list[int]:
    """The keys of the next rows that are old enough, in their order.

    They are found by key alone: the first that is too young ends the walk.
    """
    rows = model._default_manager.using(durable.alias()).filter(pk__gt=after).order_by("pk")
    keys = []
    for key, made in rows.values_list("pk", "created_at")[:BATCH]:
        if made >= before:
            break
        keys.append(key)
    return keys


@durable.write
def _mark(what: str) -> RetentionMark:
    rows = RetentionMark.objects.using(durable.alias())
    mark, _ = rows.get_or_create(what=what)
    if timezone.now() - mark.begun_at > WALK_AGAIN_AFTER:
        durable.set_fields(mark, done_to=0, begun_at=timezone.now())
        rows.filter(pk=mark.pk).update(done_to=0, begun_at=mark.begun_at)
    return mark


@durable.write
def _move(mark: RetentionMark, done_to: int) -> None:
    durable.set_fields(mark, done_to=done_to)
    RetentionMark.objects.using(durable.alias()).filter(pk=mark.pk).update(done_to=done_to)
