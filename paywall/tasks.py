"""Celery's part: the engine's rounds as tasks. `paywall.schedule` has when and where they run.

The rows are the outbox, so a message only says that it is time to look. One that is lost delays
what the next round does; one that comes twice does nothing twice.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app, shared_task
from django.db import InterfaceError, OperationalError

from paywall.exceptions import LedgerUnavailable
from paywall.privacy import retention
from paywall.reports import alerts, rollups
from paywall.schedule import TIME_LIMIT
from paywall.settlement import refunds, worker
from paywall.visitors import refresh

log = logging.getLogger(__name__)

ROUND: dict[str, Any] = {
    # Acknowledged when it is done; a worker that dies gives it back. Doing it twice does no harm.
    "acks_late": True,
    "reject_on_worker_lost": True,
    "ignore_result": True,
    "time_limit": TIME_LIMIT,
    # The database may be away for a moment; not all workers come back to it at once.
    "autoretry_for": (OperationalError, InterfaceError, LedgerUnavailable),
    "max_retries": 3,
    "retry_backoff": 1,
    "retry_backoff_max": 10,
    "retry_jitter": True,
}


@shared_task(name="paywall.confirm_payments", **ROUND)
def confirm_payments() -> dict[str, int]:
    """Move settled payments to `confirmed` or `lost` by what the chain shows."""
    return dict(worker.confirm_payments())


@shared_task(name="paywall.settle", **ROUND)
def settle() -> dict[str, int]:
    """Settle what was delivered on credit (policy `background`)."""
    return dict(worker.settle())


@shared_task(name="paywall.sweep", **ROUND)
def sweep() -> dict[str, int]:
    """Resolve payments that a crash or an unknown outcome left behind."""
    return dict(worker.sweep())


@shared_task(name="paywall.refund", **ROUND)
def refund() -> dict[str, int]:
    """Send the refunds that were asked for, and look for those that were sent."""
    return dict(worker.see_to_refunds())


@shared_task(name="paywall.roll_up", **ROUND)
def roll_up() -> int:
    """Add up the dashboard's sums of days whose payments moved."""
    return rollups.roll_up()


@shared_task(name="paywall.tell", **ROUND)
def tell() -> dict[str, int]:
    """Raise and send what the owner should know."""
    return dict(alerts.tell())


@shared_task(name="paywall.prune", **ROUND)
def prune() -> dict[str, int]:
    """Forget what is personal and older than `RETENTION` has it."""
    return dict(retention.prune())


@shared_task(name="paywall.know_bots", **ROUND)
def know_bots() -> dict[str, int]:
    """Fetch lists of bots' addresses and their keys, and ask reverse DNS, where that is due."""
    return dict(refresh.refresh())


def tell_worker() -> None:
    """Have a refund sent at once. Without a broker it is sent by the next round."""
    if not current_app.conf.broker_url:
        return  # Celery would look for one on this machine, and make who asked wait
    try:
        refund.apply_async(retry=False, expires=60)
    except Exception as error:
        log.warning("The worker could not be told of a refund: %s", type(error).__name__)


refunds.on_request.append(tell_worker)
