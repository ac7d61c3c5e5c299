"""Orders: started on the page, paid outside of the request, and never unaccounted for.

    open -> paid      its money was seen in time
    open -> late     it was seen later (expired or not): it is taken all the same
    open -> expired

Whoever tells of the money (a webhook, the buyer's return, a watcher) may tell it any number of
times and in any order: the claim's identity makes one payment of it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from paywall import durable
from paywall.catalog import coupons
from paywall.exceptions import Refused
from paywall.ledger import payments
from paywall.ledger.claims import Purpose, find, new
from paywall.ledger.passes import grant_pass
from paywall.models import Order, Payment, Resource
from paywall.models.payments import State

if TYPE_CHECKING:
    from paywall.vocabulary import Claim, Offer, Paid

log = logging.getLogger(__name__)


@durable.write
def open_order(offer: Offer, purpose: Purpose, *, seconds: float, user_id: Any = None) -> Order:
    """An order for one of our offers, to be paid within so many seconds."""
    now = timezone.now()
    order = Order(
        resource_id=purpose.resource_id,
        account_id=offer.account_id,
        user_id=user_id,
        holder=purpose.holder,
        method=purpose.method,
        url=purpose.url,
        policy=purpose.policy,
        rail=offer.rail,
        offer=offer.snapshot(),
        price=offer.price,
        currency=offer.currency,
        created_at=now,
        expires_at=now + timedelta(seconds=seconds),
    )
    order.save(using=durable.alias(), force_insert=True)
    return order


@durable.write
def order_sent_to(order: Order, reference: str) -> None:
    """By what its rail knows the order from now on."""
    rows = Order.objects.using(durable.alias()).filter(pk=order.pk)
    rows.update(reference=reference)
    durable.set_fields(order, reference=reference)


@durable.write
def order_paid(order: Order, claim: Claim, paid: Paid) -> Payment:
    """The order's money was seen: its payment, made now or by whoever told of it first.

    The pass that it buys is its holder's from now on. Money that does not fit the order (less than
    was asked, or once more) is a payment too, which delivers nothing: the order says so, and it can
    be refunded.
    """
    using, now = durable.alias(), timezone.now()
    # The order's row is the lock: of two who tell of it at once, the second finds the payment.
    row = Order.objects.using(using).select_for_update().get(pk=order.pk)
    earlier = find([claim.identity])
    if earlier is not None:
        return earlier
    payment = _pay(row, claim, paid)
    trouble = ""
    if claim.amount < row.taken_offer.amount:
        trouble = f"payment #{payment.pk} is less than was asked for"
    elif row.payment_id is not None:
        trouble = f"payment #{payment.pk} pays it once more"
    if trouble:
        log.error("payment=%s order=%s: %s", payment.pk, row.public_id, trouble)
        told = "; ".join(filter(None, [row.trouble, trouble]))
        Order.objects.using(using).filter(pk=row.pk).update(trouble=told)
        payments.note(payment, "does not fit its order", order=row.public_id, why=trouble)
        return payment
    state = Order.State.PAID if now <= row.expires_at else Order.State.LATE
    Order.objects.using(using).filter(pk=row.pk).move(state, payment=payment, paid_at=now)
    durable.set_fields(order, state=state, payment_id=payment.pk, paid_at=now)
    resource = Resource.objects.using(using).get(pk=row.resource_id)
    if resource.access != Resource.Access.REQUEST:
        payments.delivered(payment)
        grant_pass(payment, resource.pass_seconds, row.holder)
    return payment


def _pay(order: Order, claim: Claim, paid: Paid) -> Payment:
    """The payment of an order, moved as far as its money is."""
    purpose = Purpose(order.resource_id, order.method, order.url, order.policy, order.holder)
    offer = order.taken_offer
    payment = new(claim, offer, purpose, f"order/{order.rail}", timezone.now())
    payment.user_id = order.user_id
    durable.insert(payment)
    try:
        coupons.use(payment)
    except Refused:
        # It was good when they ordered, and they have paid.
        log.warning("payment=%s order=%s: its coupon is used up", payment.pk, order.public_id)
    payments.settling([payment], 0, "")
    payments.settled([payment], paid.reference, claim.amount)
    if paid.final:
        payments.confirmed([([payment], paid)])
    return payment


@durable.read
def to_be_collected(resource_id: int, holder: str) -> Payment | None:
    """A payment by an order of that browser, to be delivered now: once, for one request."""
    payments_ = Payment.objects.using(durable.alias()).filter(
        order__resource_id=resource_id,
        order__holder=holder,
        delivered_at__isnull=True,
        state__in=[State.SETTLED, State.CONFIRMED],
    )
    return payments_.order_by("pk").first()


@durable.write
def expire_orders(most: int = 200) -> int:
    """Orders whose time has passed without money. Returns how many."""
    rows = Order.objects.using(durable.alias())
    over = rows.filter(state=Order.State.OPEN, expires_at__lt=timezone.now())
    keys = list(over.order_by("expires_at").values_list("pk", flat=True)[:most])
    return rows.filter(pk__in=keys, state=Order.State.OPEN).move(Order.State.EXPIRED)
