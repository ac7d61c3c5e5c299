"""What payments opened, given, taken away and given back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from paywall import durable
from paywall.models import AccessPass, Payment


@durable.write
def grant_pass(payment: Payment, seconds: int | None, holder: str) -> None:
    """Make the pass that a payment bought: for the browser that `holder` names (the hash of its
    secret) and for the user who paid, for so many seconds or, with None, for good."""
    now = timezone.now()
    AccessPass.objects.using(durable.alias()).create(
        resource_id=payment.resource_id,
        payment=payment,
        user_id=payment.user_id,
        holder=holder,
        created_at=now,
        expires_at=now + timedelta(seconds=seconds) if seconds else None,
    )


@durable.write
def revoke_pass(payment: Payment) -> bool:
    """What a payment opened closes. Whether it opened something until now."""
    return _close(payment=payment)


@durable.write
def revoke(access_pass: AccessPass) -> bool:
    """One pass, whatever it came from, opens nothing any more. Whether it did until now."""
    return _close(pk=access_pass.pk)


def _close(**which: Any) -> bool:
    passes = AccessPass.objects.using(durable.alias()).filter(**which, revoked_at__isnull=True)
    return bool(passes.update(revoked_at=timezone.now()))


@durable.write
def restore_pass(payment: Payment) -> None:
    """What a payment had opened is open again."""
    AccessPass.objects.using(durable.alias()).filter(payment=payment).update(revoked_at=None)
