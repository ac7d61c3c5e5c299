"""What is charged by use: so much was used, and so much will be taken.

A buyer allowed an amount at most. Until what was used is known for good, the price of the payment
is that most: it counts so towards what its payer owes.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.utils import timezone

from paywall import durable
from paywall.exceptions import StaleMove
from paywall.ledger import exposure, holds, receipts
from paywall.ledger.rows import rows_held
from paywall.models.payments import State

if TYPE_CHECKING:
    from paywall.models import Payment

log = logging.getLogger(__name__)


@durable.write
def counted(payment: Payment, units: int, hold: float) -> None:
    """A response that is charged as it goes out has come to so many atomic units, and its payment
    is held for so many seconds more. If nobody says more until then, that is what is taken.

    Raises `StaleMove`: somebody else has taken it over, and nothing more may go out.
    """
    until = timezone.now() + timedelta(seconds=hold)
    used = str(min(units, int(payment.authorized)))
    rows = rows_held(payment).filter(state=State.CLAIMED)
    if not rows.update(used=used, held_until=until, due_at=until):
        raise StaleMove(f"payment={payment.pk} was taken over")
    durable.set_fields(payment, used=used, held_until=until)


@durable.write
def measured(payment: Payment, units: int) -> None:
    """What was used is known for good, in atomic units: so much will be taken, and never more than
    its buyer allowed. Raises `StaleMove`."""
    most = int(payment.authorized)
    if units > most:
        log.warning("payment=%s used %d, and may take %d at most", payment.pk, units, most)
    used = str(min(units, most))
    price = Decimal(used).scaleb(-payment.taken_offer.decimals)
    if (payment.used, payment.price) == (used, price):
        return
    if not rows_held(payment).filter(state=State.CLAIMED).update(used=used, price=price):
        raise StaleMove(f"payment={payment.pk} was taken over")
    if payment.on_credit:
        exposure.owes_less(payment, price)
    receipts.correct(payment, price)
    durable.set_fields(payment, used=used, price=price)


@durable.write
def ended(payment: Payment, units: int) -> None:
    """All of it went out, or its buyer has gone: the engine may take what was used. Raises
    `StaleMove`."""
    measured(payment, units)
    holds.let_go(payment)
