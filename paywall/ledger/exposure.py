"""Who may have content before the money is settled, and up to how much.

What is not settled counts, and for a day what never will be: so nobody, with however many wallets,
takes more than the limits in a day. A payer gets credit once it has paid here (`CREDIT_AFTER`
confirmed payments), and never more than it has.

The limits are kept by conditional updates inside the ledger's transactions: of any number of
requests at once, none takes the sum past them.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import F, Sum
from django.utils import timezone

from paywall import conf, durable
from paywall.exceptions import Code
from paywall.memory import Bounded
from paywall.models import CreditLoss, Exposure, Payment
from paywall.models.exposure import UNITS
from paywall.models.literals import one_of
from paywall.models.payments import PAID, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

log = logging.getLogger(__name__)

NOT_THE_PAYERS_FAULT = [
    Code.VIEW_FAILED,
    Code.NOTHING_DELIVERED,
    Code.ABANDONED,
    Code.FACILITATOR_UNAVAILABLE,
]


LOSSES_COUNT_FOR = timedelta(days=1)


def give(payment: Payment, balance: Decimal | None = None) -> bool:
    """Count a new payment towards its payer's exposure, if the limits allow; `balance` is what
    the payer has, in units of the currency, if that is known.

    First in the transaction that claims it; `count_for_all` is the last thing there.
    """
    limits = conf.get()
    if payment.payer is None or not limits.exposure_per_minute:
        return False
    if not has_credit(payment.payer):
        return False
    most = limits.exposure_per_payer if balance is None else min(limits.exposure_per_payer, balance)
    units, now = _units(payment), _milliseconds()
    # So many a minute, as a bucket that leaks: `paced_until` is when it will be empty.
    each = 60_000 // limits.exposure_per_minute
    given = _change(
        _payer(payment),
        '"units" = "units" + %s, "paced_until" = '
        'CASE WHEN "paced_until" > %s THEN "paced_until" ELSE %s END + %s '
        'WHERE "scope" = %s AND NOT "out_of_favour" AND "units" <= %s AND "paced_until" <= %s',
        *(units, now, now, each),
        *(_payer(payment), int(most * UNITS) - units, now + 60_000 - each),
    )
    if not given:
        log.info("A payment of %s is settled in line: no credit", payment.payer)
    return given


_trusted: Bounded[tuple[str, int], None] = Bounded()
"""Payers of whom this process knows that they have paid often enough."""


def has_credit(payer: str) -> bool:
    """Whether a payer has paid here often enough to be trusted."""
    needed = conf.get().credit_after
    if not needed or (payer, needed) in _trusted:
        return True
    paid = Payment.objects.using(durable.alias()).filter(one_of("state", PAID), payer=payer)
    confirmed = paid.filter(state=State.CONFIRMED).order_by()
    if len(confirmed.values_list("pk")[:needed]) < needed:
        return False
    _trusted[payer, needed] = None
    return True


def count_for_all(payment: Payment) -> bool:
    """Count a payment that `give` allowed towards what all owe; False, and it has no credit.

    Everybody's payments change this one row, so it is locked for as short as can be.
    """
    units = _units(payment)
    given = _change(
        _all(payment),
        '"units" = "units" + %s WHERE "scope" = %s AND "units" <= %s',
        *(units, _all(payment), int(conf.get().exposure_total * UNITS) - units),
    )
    if not given:
        log.warning("payment=%s is settled in line: all together owe too much", payment.pk)
        _rows(_payer(payment)).update(units=F("units") - units)
    return given


def take_back(payments: Sequence[Payment]) -> None:
    """Count payments out again: settled, or they never will be. Last in the transaction."""
    units: dict[str, int] = {}
    # The payers' rows first and in one order, as when they were counted in.
    for scope_of in (_payer, _all):
        for payment in sorted(payments, key=scope_of):
            if payment.on_credit:
                units[scope_of(payment)] = units.get(scope_of(payment), 0) + _units(payment)
    for scope, number in units.items():
        _rows(scope).update(units=F("units") - number)


def owes_less(payment: Payment, price: Decimal) -> None:
    """What it may come to is known now; at `price` it is counted from here on. In the transaction
    that writes that price."""
    less = _units(payment) - int(price * UNITS)
    for scope in (_payer(payment), _all(payment)):
        _rows(scope).update(units=F("units") - less)


def lose(payment: Payment) -> None:
    """It was delivered on credit and will not be paid. It is counted already, and goes on being
    for a day."""
    CreditLoss.objects.using(durable.alias()).get_or_create(
        payment=payment,
        defaults={"currency": payment.currency, "units": _units(payment), "at": timezone.now()},
    )


def forgive(most: int = 200) -> int:
    """Losses older than a day take up no room any more. Returns how many."""
    since = timezone.now() - LOSSES_COUNT_FOR
    old = CreditLoss.objects.using(durable.alias()).filter(at__lte=since).order_by("at")
    return sum(_forgive(loss) for loss in old.select_related("payment")[:most])


@durable.write
def _forgive(loss: CreditLoss) -> bool:
    if not CreditLoss.objects.using(durable.alias()).filter(pk=loss.pk).delete()[0]:
        return False
    take_back([loss.payment])
    return True


def lost_today() -> dict[str, int]:
    """What was lost on credit within a day, in units, by currency."""
    since = timezone.now() - LOSSES_COUNT_FOR
    losses = CreditLoss.objects.using(durable.alias()).filter(at__gt=since).order_by()
    return dict(losses.values_list("currency").annotate(Sum("units")))


def count_again(payment: Payment) -> None:
    """The chain took back what had settled it: it is owed once more, whatever the limits."""
    for scope in (_payer(payment), _all(payment)):
        _rows(scope).update(units=F("units") + _units(payment))


def lose_favour(payment: Payment) -> None:
    """It was had on credit, and will not be paid: its payer has no credit until one of theirs
    is confirmed, unless the fault was not theirs."""
    if payment.on_credit and payment.error_code not in NOT_THE_PAYERS_FAULT:
        _rows(_payer(payment)).update(out_of_favour=True)


def regain_favour(payments: Sequence[Payment]) -> None:
    """Payments were confirmed: their payers are trusted again."""
    scopes = {_payer(payment) for payment in payments}
    lost = Exposure.objects.using(durable.alias()).filter(scope__in=scopes, out_of_favour=True)
    lost.update(out_of_favour=False)


def _change(scope: str, sql: str, *values: Any) -> bool:
    """Change a row if it meets a condition; it is made if there is none yet."""
    if durable.change(Exposure, sql, *values):
        return True
    if _rows(scope).exists():
        return False
    Exposure.objects.using(durable.alias()).bulk_create(
        [Exposure(scope=scope)], ignore_conflicts=True
    )
    return durable.change(Exposure, sql, *values)


def _rows(scope: str) -> QuerySet[Exposure]:
    return Exposure.objects.using(durable.alias()).filter(scope=scope)


def _milliseconds() -> int:
    return int(time.time() * 1000)


def _units(payment: Payment) -> int:
    return int(payment.price * UNITS)


def _payer(payment: Payment) -> str:
    return f"{payment.payer} {payment.currency}"


def _all(payment: Payment) -> str:
    return f"all {payment.currency}"
