"""Celery's part: the engine's rounds as tasks. `paywall.schedule` has them for beat."""

from __future__ import annotations

from celery import shared_task

from paywall import engine


@shared_task(name="paywall.confirm_payments", acks_late=True, ignore_result=True)
def confirm_payments() -> dict[str, int]:
    """Move settled payments to `confirmed` or `lost` by what the chain shows."""
    return dict(engine.confirm_payments())


@shared_task(name="paywall.settle", acks_late=True, ignore_result=True)
def settle() -> dict[str, int]:
    """Settle what was delivered on credit (policy `background`)."""
    return dict(engine.settle())


@shared_task(name="paywall.sweep", acks_late=True, ignore_result=True)
def sweep() -> dict[str, int]:
    """Resolve payments that a crash or an unknown outcome left behind."""
    return dict(engine.sweep())
