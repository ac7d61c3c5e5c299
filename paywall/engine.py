"""The work that is found by state: what Celery and `paywall_run` do, in rounds.

The row is the outbox. A lost message delays a payment until the next round and loses nothing;
doing a round twice does no harm.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from paywall import conf, database, ledger, settlement
from paywall.exceptions import Code, LedgerUnavailable, StaleMove
from paywall.models import Payment
from paywall.models.payments import State
from paywall.steps import run

if TYPE_CHECKING:
    from paywall.models.payments import PaymentQuerySet

log = logging.getLogger(__name__)

ROUND = 200
"""Payments that one round looks at, those that waited longest first."""

ROUND_SECONDS = 60
"""After which a round takes up no more: with a slow node, each payment may take a while."""


def settle() -> Counter[str]:
    """Settle what was delivered on credit. Returns how many came to which state."""
    return _round(_to_settle(), _settle, "waiting")


def sweep() -> Counter[str]:
    """Resolve what a crash or an unknown outcome left in `claimed` and `settling`.

    Returns how many came to which state, or are still "unknown".
    """
    return _round(_to_sweep(), _resolve, "unknown")


def confirm_payments() -> Counter[str]:
    """Look for settled payments on the chain; `confirmed` or `lost` where that is final.

    Returns how many came to which state, or are still "waiting". Networks without an RPC URL
    are left alone.
    """
    return _round(_to_confirm(), _confirm, "waiting")


def look_at(keys: Iterable[int]) -> Counter[str]:
    """Look at some payments now, whenever they are due: the owner asks. None that is held."""
    chosen = Payment.objects.using(database.alias()).filter(
        pk__in=keys,
        state__in=[State.CLAIMED, State.SETTLING, State.SETTLED],
        held_until__lte=timezone.now(),
    )
    return _round(chosen, _by_state, "unchanged")


def undone() -> PaymentQuerySet:
    """All that the rounds would take up now."""
    return _to_settle() | _to_sweep() | _to_confirm()


def _to_settle() -> PaymentQuerySet:
    return _due(State.CLAIMED).filter(on_credit=True, delivered_at__isnull=False)


def _to_sweep() -> PaymentQuerySet:
    left_behind = Q(state=State.SETTLING) | Q(state=State.CLAIMED, delivered_at__isnull=True)
    return _due(State.CLAIMED, State.SETTLING).filter(left_behind)


def _to_confirm() -> PaymentQuerySet:
    networks = [network for network, url in conf.get().rpc_urls.items() if url]
    return _due(State.SETTLED).filter(network__in=networks)


def _by_state(payment: Payment) -> None:
    if payment.state == State.SETTLED:
        _confirm(payment)
    elif payment.state == State.CLAIMED and payment.delivered_at is not None:
        _settle(payment)
    else:
        _resolve(payment)


def _settle(payment: Payment) -> None:
    run(settlement.settle(payment))


def _confirm(payment: Payment) -> None:
    finding = run(settlement.confirm(payment))
    if payment.state == State.SETTLED:
        log.info("payment=%s is not confirmed yet: %s", payment.pk, finding)


def _resolve(payment: Payment) -> None:
    if payment.state == State.CLAIMED:
        # Nothing was sent: the request that held it is gone.
        ledger.failed(payment, Code.ABANDONED)
    else:
        run(settlement.resolve(payment, buyer_waits=False))


def _round(due: PaymentQuerySet, work: Callable[[Payment], None], unmoved: str) -> Counter[str]:
    """Take up what is due, one by one; one payment's trouble is not the next one's."""
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + ROUND_SECONDS
    for found in due.order_by("due_at")[:ROUND]:
        if time.monotonic() > deadline:
            break
        try:
            payment = ledger.take_up(found, settlement.settle_hold())
            if payment is None:
                continue
            origin = payment.state
            work(payment)
            moved = payment.state != origin
            pause = 0 if moved else settlement.pause(payment.attempts)
            ledger.let_go(payment, due_in=pause)
        except (LedgerUnavailable, StaleMove) as error:
            log.warning("payment=%s: %s", found.pk, error)
            continue
        except Exception:
            log.exception("payment=%s: the engine could not deal with it", found.pk)
            continue
        counts[str(payment.state) if moved else unmoved] += 1
    return counts


def _due(*states: State) -> PaymentQuerySet:
    return Payment.objects.using(database.alias()).due().filter(state__in=states)
