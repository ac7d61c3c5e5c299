"""Who works on a payment holds it: nobody else does meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import F
from django.utils import timezone

from paywall import durable
from paywall.exceptions import StaleMove
from paywall.ledger.rows import fresh, rows_held
from paywall.models import Payment

if TYPE_CHECKING:
    from paywall.models.payments import PaymentQuerySet


@durable.write
def take_up(payment: Payment, hold: float, *, though_held: bool = False) -> Payment | None:
    """Hold a payment that nobody holds, for `hold` seconds; None if somebody was quicker.

    `though_held` takes it from its holder, who finds that out at its next move.
    """
    now = timezone.now()
    rows = rows_held(payment) if though_held else rows_held(payment).filter(held_until__lte=now)
    taken = rows.update(attempts=F("attempts") + 1, held_until=now + timedelta(seconds=hold))
    return fresh(payment) if taken else None


@durable.write
def take_up_some(due: PaymentQuerySet, most: int, hold: float) -> list[Payment]:
    """Hold up to `most` of the payments that are due, those that waited longest first.

    Workers do not wait for each other: what another is just taking up is passed over (where the
    database knows SKIP LOCKED; where it does not, writers take turns anyway).
    """
    now = timezone.now()
    found = due.filter(held_until__lte=now).order_by("due_at")
    if connections[durable.alias()].features.has_select_for_update_skip_locked:
        found = found.select_for_update(skip_locked=True)
    keys = list(found.values_list("pk", flat=True)[:most])
    rows = Payment.objects.using(durable.alias()).filter(pk__in=keys)
    rows.filter(held_until__lte=now).update(
        attempts=F("attempts") + 1, held_until=now + timedelta(seconds=hold)
    )
    return list(rows.order_by("due_at"))


@durable.write_one
def hold(payment: Payment, seconds: float) -> None:
    """Keep a payment that is held, for `seconds` from now. Raises `StaleMove`."""
    if not rows_held(payment).update(held_until=timezone.now() + timedelta(seconds=seconds)):
        raise StaleMove(f"payment={payment.pk} was taken over")


@durable.write_one
def let_go(*payments: Payment, busy_for: float = 0, due_in: float = 0) -> None:
    """Hold payments no longer. Their buyers find them free after `busy_for` seconds; the engine
    looks at them again after `due_in`. Nothing happens to what somebody has taken over."""
    now = timezone.now()
    rows_held(*payments).update(
        held_until=now + timedelta(seconds=busy_for), due_at=now + timedelta(seconds=due_in)
    )
