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

from django.db.models import Q
from django.utils import timezone

from paywall import durable
from paywall.catalog import coupons
from paywall.exceptions import Refused, StaleMove
from paywall.ledger import openings, payments
from paywall.ledger.claims import Purpose, find, new
from paywall.models import Order, Payment, Refund, Resource
from paywall.models.literals import Literal
from paywall.models.orders import IS_OPEN, OrderQuerySet
from paywall.models.payments import PAID, PaymentQuerySet, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from paywall.vocabulary import Claim, Offer, Paid

log = logging.getLogger(__name__)


@durable.write
def open_order(
    offer: Offer,
    purpose: Purpose,
    *,
    seconds: float,
    user_id: Any = None,
    reference: str | None = None,
) -> Order:
    """An order for one of our offers, to be paid within so many seconds.

    With a reference that another order of the rail has, `LedgerUnavailable` is raised from an
    `IntegrityError`.
    """
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
        reference=reference,
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
def free_reference(rail: str, reference: str, ended_before: datetime) -> None:
    """Have a reference back from an order that ended so long ago that nothing more will come."""
    rows = Order.objects.using(durable.alias()).filter(rail=rail, reference=reference)
    rows.filter(expires_at__lt=ended_before).exclude(state=Order.State.OPEN).update(reference=None)


@durable.read
def open_order_of(holder: str, resource_id: int, rail: str) -> Order | None:
    """What a browser has ordered and not paid yet."""
    rows = Order.objects.using(durable.alias()).filter(holder=holder, resource_id=resource_id)
    return rows.filter(rail=rail, state=Order.State.OPEN, expires_at__gt=timezone.now()).first()


@durable.read
def order_of(holder: str, public_id: str) -> Order | None:
    """A browser's own order."""
    if not holder:
        return None
    rows = Order.objects.using(durable.alias()).select_related("resource", "payment")
    return rows.filter(public_id=public_id, holder=holder).first()


@durable.write
def order_paid(
    order: Order, claim: Claim, paid: Paid, *, offer: Offer | None = None, trouble: str = ""
) -> Payment:
    """The order's money was seen: its payment, made now or by whoever told of it first.

    `offer` says in what it was paid, where that is not what was asked for; `trouble` why it cannot
    be the order's, if the rail knows that.

    The pass that it buys is its holder's from now on. Money that does not fit the order (less than
    was asked, or once more) is a payment too, which delivers nothing: the order says so, and it can
    be refunded.
    """
    using, now = durable.alias(), timezone.now()
    # The order's row is the lock: of two who tell of it at once, the second finds the payment.
    row = Order.objects.using(using).select_for_update().get(pk=order.pk)
    payment = find([claim.identity])
    if payment is None:
        payment = _begin(row, claim, offer or row.taken_offer)
    elif not _is_awaited(payment, row):
        return payment
    _pay(payment, claim, paid)
    if trouble:
        trouble = f"payment #{payment.pk} does not fit: {trouble}"
    elif claim.amount < row.taken_offer.amount:
        trouble = f"payment #{payment.pk} is less than was asked for"
    elif row.payment_id is not None:
        trouble = f"payment #{payment.pk} pays it once more"
    if trouble:
        log.error("payment=%s order=%s: %s", payment.pk, row.public_id, trouble)
        told = "; ".join(filter(None, [row.trouble, trouble]))
        Order.objects.using(using).filter(pk=row.pk).update(trouble=told)
        Order.misfits.through.objects.using(using).create(order_id=row.pk, payment_id=payment.pk)
        payments.note(payment, "does not fit its order", order=row.public_id, why=trouble)
        return payment
    state = Order.State.PAID if now <= row.expires_at else Order.State.LATE
    Order.objects.using(using).filter(pk=row.pk).move(state, payment=payment, paid_at=now)
    durable.set_fields(order, state=state, payment_id=payment.pk, paid_at=now)
    resource = Resource.objects.using(using).get(pk=row.resource_id)
    if resource.access != Resource.Access.REQUEST and payment.delivered_at is None:
        payments.delivered(payment)
        openings.open_(payment, resource.access, resource.pass_seconds, row.holder)
    return payment


@durable.write
def order_pending(order: Order, claim: Claim, reference: str) -> Payment:
    """The order's money is on its way, for days perhaps: its payment, in `settling`. Its buyer is
    asked to wait and not to pay again. What comes of it `order_paid` or `failed` says."""
    row = Order.objects.using(durable.alias()).select_for_update().get(pk=order.pk)
    payment = find([claim.identity])
    return payment if payment is not None else _begin(row, claim, row.taken_offer, reference)


def _is_awaited(payment: Payment, order: Order) -> bool:
    """Whether it was begun for this order, and no order has been told yet what became of it."""
    is_its = payment.protocol == _protocol(order) and payment.holder == order.holder
    if not is_its or payment.state not in (State.SETTLING, *PAID):
        return False
    is_told = Order.objects.using(durable.alias()).filter(payment=payment).exists()
    return not is_told and not payment.misfit_of.exists()


def _protocol(order: Order) -> str:
    return f"order/{order.rail}"


def _begin(order: Order, claim: Claim, offer: Offer, reference: str = "") -> Payment:
    """The payment of an order, on its way."""
    purpose = Purpose(order.resource_id, order.method, order.url, order.policy, order.holder)
    payment = new(claim, offer, purpose, _protocol(order), timezone.now())
    payment.user_id = order.user_id
    durable.insert(payment)
    try:
        coupons.use(payment)
    except Refused:
        # It was good when they ordered, and they have paid.
        log.warning("payment=%s order=%s: its coupon is used up", payment.pk, order.public_id)
    payments.settling([payment], 0, "", reference)
    return payment


def _pay(payment: Payment, claim: Claim, paid: Paid) -> None:
    """Move it as far as its money is."""
    if payment.state == State.SETTLING:
        payments.settled([payment], paid.reference, claim.amount)
    if payment.state == State.SETTLED and paid.final:
        payments.confirmed([([payment], paid)])


@durable.read
def to_be_collected(resource_id: int, holder: str, url: str | None) -> Payment | None:
    """What that browser has paid, or is paying, for a resource and not had (at that URL, or with
    None at any): the first of it that is settled, or else one whose outcome is not known yet. Money
    that fits no order buys nothing."""
    owed = _owed(holder, State.SETTLING, *PAID).filter(resource_id=resource_id)
    if url is not None:
        owed = owed.filter(url=url)
    found = list(owed.order_by("pk"))
    return next((p for p in found if p.state != State.SETTLING), found[0] if found else None)


def _owed(holder: str, *states: State) -> PaymentQuerySet:
    """What that browser has paid and not had, in one of these states."""
    # The second condition says to the database that the index of what is owed will do.
    owed = Payment.objects.using(durable.alias()).filter(
        Q(holder=holder) & ~Q(holder=Literal("")),
        delivered_at__isnull=True,
        state__in=states,
        misfit_of=None,
    )
    return owed.exclude(refunds__state__in=[*Refund.OPEN, Refund.State.CONFIRMED])


def collect_top_ups(holder: str) -> None:
    """What that browser paid to top up its balance, and has not got because a request broke off."""
    if not holder:
        return
    free = {"resource__access": Resource.Access.BALANCE, "held_until__lte": timezone.now()}
    for payment in _owed(holder, *PAID).filter(**free):
        try:
            _collect_top_up(payment)
        except StaleMove:
            log.info("payment=%s is being collected already", payment.pk)


@durable.write
def _collect_top_up(payment: Payment) -> None:
    payments.delivered(payment)
    openings.open_(payment, Resource.Access.BALANCE, None, payment.holder)


@durable.write
def expire_orders(most: int = 200, *, but: Sequence[str] = ()) -> int:
    """Orders whose time has passed without money, but those of some rails. Returns how many."""
    over = ended_orders().exclude(rail__in=but)
    keys = list(over.values_list("pk", flat=True)[:most])
    rows = Order.objects.using(durable.alias())
    return rows.filter(pk__in=keys, state=Order.State.OPEN).move(Order.State.EXPIRED)


@durable.write
def expire_order(order: Order) -> None:
    """One that certainly was not paid, if nobody was quicker."""
    rows = Order.objects.using(durable.alias()).filter(pk=order.pk, state=Order.State.OPEN)
    rows.move(Order.State.EXPIRED)


def ended_orders() -> OrderQuerySet:
    """Those that are open, and whose time has passed, the oldest first."""
    rows = Order.objects.using(durable.alias())
    return rows.filter(IS_OPEN, expires_at__lt=timezone.now()).order_by("expires_at")
