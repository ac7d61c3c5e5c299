"""Celery's part: the engine's rounds as tasks. `paywall.schedule` has them for beat."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from paywall import engine

ROUND: dict[str, Any] = {
    # Acknowledged when it is done; a worker that dies gives it back. Doing it twice does no harm.
    "acks_late": True,
    "reject_on_worker_lost": True,
    "ignore_result": True,
    # Rounds end by themselves long before; one that hangs makes way for the next.
    "time_limit": 300,
}


@shared_task(name="paywall.confirm_payments", **ROUND)
def confirm_payments() -> dict[str, int]:
    """Move settled payments to `confirmed` or `lost` by what the chain shows."""
    return dict(engine.confirm_payments())


@shared_task(name="paywall.settle", **ROUND)
def settle() -> dict[str, int]:
    """Settle what was delivered on credit (policy `background`)."""
    return dict(engine.settle())


@shared_task(name="paywall.sweep", **ROUND)
def sweep() -> dict[str, int]:
    """Resolve payments that a crash or an unknown outcome left behind."""
    return dict(engine.sweep())
