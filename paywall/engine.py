"""The work that is found by state: what Celery and `paywall_run` do, in rounds.

The row is the outbox. A lost message delays a payment until the next round and loses nothing;
doing a round twice does no harm.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from paywall import conf, database, ledger, settlement
from paywall.exceptions import Code, LedgerUnavailable, StaleMove
from paywall.models import Payment
from paywall.models.payments import State
from paywall.steps import run
from paywall.vocabulary import Paid

if TYPE_CHECKING:
    from paywall.models.payments import PaymentQuerySet

log = logging.getLogger(__name__)

ROUND = 200
"""Payments that one round looks at, those that waited longest first."""


def confirm_payments() -> Counter[str]:
    """Look for settled payments on the chain; `confirmed` or `lost` where that is final.

    Returns how many came to what. Networks without an RPC URL are left alone.
    """
    networks = [network for network, url in conf.get().rpc_urls.items() if url]
    counts: Counter[str] = Counter()
    for payment in _due(State.SETTLED).filter(network__in=networks)[:ROUND]:
        try:
            taken = ledger.take_up(payment, settlement.settle_hold())
            if taken is None:
                continue
            finding = run(settlement.confirm(taken))
        except LedgerUnavailable:
            log.exception("payment=%s could not be written", payment.pk)
            continue
        final = taken.state != State.SETTLED
        counts[str(taken.state) if final else "waiting"] += 1
        if not isinstance(finding, Paid):
            log.info("payment=%s not confirmed: %s", payment.pk, finding)
    return counts


def sweep() -> Counter[str]:
    """Resolve what a crash or an unknown outcome left in `claimed` and `settling`."""
    counts: Counter[str] = Counter()
    for payment in _due(State.CLAIMED, State.SETTLING)[:ROUND]:
        try:
            taken = ledger.take_up(payment, settlement.settle_hold())
            if taken is None:
                continue
            if taken.state == State.CLAIMED:
                # Nothing was sent: the request that held it is gone.
                ledger.failed(taken, Code.ABANDONED)
            else:
                run(settlement.resolve(taken, buyer_waits=False))
        except (LedgerUnavailable, StaleMove) as error:
            log.warning("payment=%s: %s", payment.pk, error)
            continue
        counts[str(taken.state) if taken.state != State.SETTLING else "unknown"] += 1
    return counts


def _due(*states: State) -> PaymentQuerySet:
    return Payment.objects.using(database.alias()).due().filter(state__in=states).order_by("due_at")
