"""Who may have content before the money is settled, and up to how much.

The limits are kept by conditional updates inside the ledger's transactions: of any number of
requests at once, none takes the sum past them.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from paywall import conf, database
from paywall.exceptions import Code
from paywall.models import Exposure, Payment
from paywall.models.exposure import UNITS
from paywall.models.payments import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

log = logging.getLogger(__name__)

NOT_THE_PAYERS_FAULT = [Code.VIEW_FAILED, Code.ABANDONED, Code.FACILITATOR_UNAVAILABLE]


class _TooMuch(Exception):
    """A limit would be exceeded."""


def give(payment: Payment) -> bool:
    """Count a new payment towards the exposure, if the limits allow. In a ledger transaction."""
    limits = conf.get()
    units = _units(payment)
    try:
        with transaction.atomic(using=database.alias()):
            # The payer's row first: it also makes the two questions below one payer's at a time.
            _add(_payer(payment), units, limits.exposure_per_payer)
            if _is_out_of_favour(payment) or _is_too_fast(payment, limits.exposure_per_minute):
                raise _TooMuch
            _add(_all(payment), units, limits.exposure_total)
    except _TooMuch:
        log.info("payment=%s is settled in line: no credit", payment.pk)
        return False
    return True


def take_back(payments: Sequence[Payment]) -> None:
    """Count payments out again: settled, or they never will be. In the same transaction."""
    # The payers' rows first and in one order, as when they were counted in.
    units: dict[str, int] = {}
    for scope_of in (_payer, _all):
        for payment in sorted(payments, key=scope_of):
            units[scope_of(payment)] = units.get(scope_of(payment), 0) + _units(payment)
    for scope, number in units.items():
        rows = Exposure.objects.using(database.alias()).filter(scope=scope)
        rows.update(units=F("units") - number)


def count_again(payment: Payment) -> None:
    """The chain took back what had settled it: it is owed once more, whatever the limits."""
    for scope in (_payer(payment), _all(payment)):
        rows = Exposure.objects.using(database.alias()).filter(scope=scope)
        rows.update(units=F("units") + _units(payment))


def _add(scope: str, units: int, limit: Decimal) -> None:
    exposures = Exposure.objects.using(database.alias())
    exposures.bulk_create([Exposure(scope=scope)], ignore_conflicts=True)
    most = int(limit * UNITS) - units
    if not exposures.filter(scope=scope, units__lte=most).update(units=F("units") + units):
        raise _TooMuch


def _is_out_of_favour(payment: Payment) -> bool:
    """A payment of theirs on credit failed, and none was confirmed since."""
    payments = Payment.objects.using(database.alias()).filter(payer=payment.payer)
    last = payments.aggregate(
        failed=Max(
            "closed_at",
            filter=Q(on_credit=True, state__in=[State.FAILED, State.LOST])
            & ~Q(error_code__in=NOT_THE_PAYERS_FAULT),
        ),
        confirmed=Max("confirmed_at"),
    )
    if last["failed"] is None:
        return False
    return last["confirmed"] is None or last["confirmed"] < last["failed"]


def _is_too_fast(payment: Payment, limit: int) -> bool:
    recent = Payment.objects.using(database.alias()).filter(
        payer=payment.payer,
        on_credit=True,
        created_at__gt=timezone.now() - timedelta(minutes=1),
    )
    return recent.count() >= limit


def _units(payment: Payment) -> int:
    return int(payment.price * UNITS)


def _payer(payment: Payment) -> str:
    return f"{payment.payer} {payment.currency}"


def _all(payment: Payment) -> str:
    return f"all {payment.currency}"
