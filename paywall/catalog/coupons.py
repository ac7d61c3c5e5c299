"""Coupons that are good for so many payments: counted in the transaction that claims one, and given
back by a payment that comes to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F, Q

from paywall import durable
from paywall.exceptions import Code, Refused
from paywall.models import Audience, Price

if TYPE_CHECKING:
    from paywall.models import Payment


def use(payment: Payment) -> None:
    """Count a payment whose price is a coupon's. Raises `Refused` where it is used up."""
    audience_id = _coupon_of(payment)
    if audience_id is None:
        return
    rows = Audience.objects.using(durable.alias()).filter(pk=audience_id)
    if not rows.filter(Q(coupon_uses__isnull=True) | Q(coupon_used__lt=F("coupon_uses"))).update(
        coupon_used=F("coupon_used") + 1
    ):
        raise Refused(Code.NO_MATCHING_OFFER, "The coupon is used up.")


def give_back(payment: Payment) -> None:
    """The payment failed: it used no coupon."""
    audience_id = _coupon_of(payment)
    if audience_id is not None:
        rows = Audience.objects.using(durable.alias()).filter(pk=audience_id, coupon_used__gt=0)
        rows.update(coupon_used=F("coupon_used") - 1)


def _coupon_of(payment: Payment) -> int | None:
    """The audience of the price that was paid, if a coupon makes it."""
    if not payment.offer.get("for_coupon"):
        return None
    prices = Price.objects.using(durable.alias()).filter(pk=payment.offer["price_id"])
    return prices.values_list("audience_id", flat=True).first()
