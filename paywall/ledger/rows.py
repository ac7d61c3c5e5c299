"""Payments' rows as those see them who work on them, and the events beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Q

from paywall import durable
from paywall.models import Payment, PaymentEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def rows_held(*payments: Payment) -> Any:
    """The payments' rows, as far as nobody has taken them up since."""
    by_attempts: dict[int, list[int]] = {}
    for payment in payments:
        by_attempts.setdefault(payment.attempts, []).append(payment.pk)
    ours = Q(pk__in=[])
    for attempts, keys in by_attempts.items():
        ours |= Q(attempts=attempts, pk__in=keys)
    return Payment.objects.using(durable.alias()).filter(ours)


def all_rows(payments: Sequence[Payment]) -> Any:
    """The same, whoever holds them."""
    keys = [payment.pk for payment in payments]
    return Payment.objects.using(durable.alias()).filter(pk__in=keys)


def fresh(payment: Payment) -> Payment:
    """A payment as the database has it now."""
    return Payment.objects.using(durable.alias()).get(pk=payment.pk)


def record(payments: Sequence[Payment], kind: str, at: datetime, **data: Any) -> None:
    """Write an event beside each, with what of `data` is known."""
    told = {k: v for k, v in data.items() if v not in ("", None)}
    events = [PaymentEvent(payment=payment, kind=kind, at=at, data=told) for payment in payments]
    if len(events) == 1:
        durable.insert(events[0])
    else:
        PaymentEvent.objects.using(durable.alias()).bulk_create(events)
