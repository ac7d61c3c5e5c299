"""What payments opened, given, taken away and given back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone

from paywall import durable
from paywall.ledger import pass_cache
from paywall.models import AccessPass, Gift, PassDevice, Payment

if TYPE_CHECKING:
    from datetime import datetime


@durable.write
def grant_pass(payment: Payment, seconds: int | None, holder: str) -> None:
    """Make the pass that a payment bought: for the browser that `holder` names (the hash of its
    secret) and for the user who paid, for so many seconds or, with None, for good."""
    now = timezone.now()
    its = {"payment": payment, "user_id": payment.user_id}
    make_pass(payment.resource_id, holder, now, lasts_until(now, seconds), **its)


def make_pass(
    resource_id: int, holder: str, now: datetime, expires_at: datetime | None, **its: Any
) -> None:
    """A pass for a browser; `its` are the row's other fields: where it comes from, and whose it is
    besides."""
    AccessPass.objects.using(durable.alias()).create(
        resource_id=resource_id, holder=holder, created_at=now, expires_at=expires_at, **its
    )
    pass_cache.open_again([(resource_id, holder)])


def lasts_until(now: datetime, seconds: int | None) -> datetime | None:
    """The end of a pass for so many seconds; None is for good."""
    return now + timedelta(seconds=seconds) if seconds else None


@durable.write
def revoke_pass(payment: Payment) -> bool:
    """What a payment opened closes. Whether it opened something until now."""
    return _close_with_gifts(payment=payment)


@durable.write
def revoke(access_pass: AccessPass) -> bool:
    """One pass, whatever it came from, opens nothing any more. Whether it did until now."""
    return _close_with_gifts(pk=access_pass.pk)


def _close_with_gifts(**which: Any) -> bool:
    """What their holders gave away goes with them."""
    payments = _close(**which)
    if any(payments):
        _take_back(payment__in=payments)
    return bool(payments)


@durable.write
def revoke_gift(gift: Gift) -> None:
    """A link, and what it opened, opens nothing any more."""
    _take_back(pk=gift.pk)


def _take_back(**which: Any) -> None:
    using = durable.alias()
    given = Gift.objects.using(using).filter(**which)
    _close(gift__in=given)
    given.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())


def _close(**which: Any) -> list[int]:
    """The keys of the payments that had bought what closes, 0 for what nobody had."""
    passes = AccessPass.objects.using(durable.alias()).filter(**which, revoked_at__isnull=True)
    rows = list(passes.values_list("payment_id", "resource_id", "holder"))
    passes.update(revoked_at=timezone.now())
    pass_cache.close((resource_id, holder) for _, resource_id, holder in rows)
    return [payment_id or 0 for payment_id, _, _ in rows]


@durable.write
def restore_pass(payment: Payment) -> None:
    """What a payment had opened is open again."""
    using = durable.alias()
    passes = AccessPass.objects.using(using).filter(Q(payment=payment) | Q(gift__payment=payment))
    pass_cache.open_again(list(passes.values_list("resource_id", "holder")))
    keys = list(passes.values_list("pk", flat=True))
    AccessPass.objects.using(using).filter(pk__in=keys).update(revoked_at=None)
    Gift.objects.using(using).filter(payment=payment).update(revoked_at=None)


@durable.write
def add_device(access_pass_id: int, holder: str, most: int) -> bool:
    """Have a pass open in another browser too. False where it is open in as many as it may be;
    `most` 0 is any number."""
    using = durable.alias()
    # The pass's row is the lock: of two browsers that come at once, the second counts the first.
    row = AccessPass.objects.using(using).select_for_update().get(pk=access_pass_id)
    devices = PassDevice.objects.using(using).filter(access_pass=row)
    if row.holder == holder or devices.filter(holder=holder).exists():
        return True
    if most and devices.count() + bool(row.holder) >= most:
        return False
    PassDevice.objects.using(using).create(access_pass=row, holder=holder)
    return True


@durable.write
def keep_only(access_pass_id: int, holder: str) -> int:
    """Close a pass in all browsers but one. Returns how many those were."""
    using = durable.alias()
    row = AccessPass.objects.using(using).select_for_update().get(pk=access_pass_id)
    others = PassDevice.objects.using(using).filter(access_pass=row)
    closed = others.exclude(holder=holder).count() + bool(row.holder and row.holder != holder)
    others.delete()
    pass_cache.close([(row.resource_id, row.holder)] if row.holder != holder else [])
    pass_cache.open_again([(row.resource_id, holder)])
    AccessPass.objects.using(using).filter(pk=row.pk).update(holder=holder)
    return closed


@durable.write
def adopt_passes(holder: str, user_id: Any) -> int:
    """Those of a browser are its user's from now on. Returns how many that are."""
    using = durable.alias()
    passes = AccessPass.objects.using(using).filter(holder=holder, user=None)
    keys = list(passes.values_list("payment_id", flat=True))
    changed = passes.update(user_id=user_id)
    Payment.objects.using(using).filter(pk__in=[key for key in keys if key], user=None).update(
        user_id=user_id
    )
    return changed
