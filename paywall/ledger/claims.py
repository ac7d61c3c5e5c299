"""The insert is the lock: one identity, one Payment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError
from django.utils import timezone

from paywall import durable
from paywall.catalog import coupons
from paywall.exceptions import Code, LedgerUnavailable, Unavailable
from paywall.ledger import exposure
from paywall.models import Account, Payment, PaymentEvent, Resource
from paywall.models.payments import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from paywall.vocabulary import Claim, Offer


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a payment is made for; it serves nothing else."""

    resource_id: int
    method: str
    url: str
    policy: str = Resource.Policy.AFTER.value
    """The resource's, when it was sold."""
    holder: str = ""
    """The hash of the secret of the browser that pays; "" where it brings none."""
    idempotency_key: str = ""
    """By which the buyer knows the request; "" where it says none."""
    request_digest: str = ""
    """Of the request, where it has such a key."""


def claim(
    made: Claim,
    offer: Offer,
    purpose: Purpose,
    *,
    protocol: str,
    user_id: Any = None,
    hold: float,
    ask_credit: bool = False,
    balance: Decimal | None = None,
) -> tuple[Payment, bool]:
    """The payment of a claim, and whether this call made it.

    The insert is the lock: of any number of callers with one claim, one gets True and
    holds the payment for `hold` seconds. With `ask_credit` it may come out `on_credit`: then it
    may deliver before it is settled; but its payer never owes more than `balance`, if that is
    known (in units of the currency). Raises `Refused` where a coupon is used up; `Unavailable`
    where another request has just paid with the same idempotency key.
    """
    now = timezone.now()
    payment = new(made, offer, purpose, protocol, now)
    payment.user_id = user_id
    payment.held_until = now + timedelta(seconds=hold)
    try:
        if ask_credit or offer.for_coupon:
            _insert(payment, ask_credit, balance)
        else:
            _insert_alone(payment)
    except LedgerUnavailable as error:
        if not isinstance(error.__cause__, IntegrityError):
            raise
        earlier = find([made.identity])
        if earlier is None:
            if purpose.idempotency_key:
                # Another request with the same key was quicker: it goes on with that one's.
                raise Unavailable(Code.SETTLEMENT_PENDING) from error
            raise
        return earlier, False
    return payment, True


def new(made: Claim, offer: Offer, purpose: Purpose, protocol: str, now: datetime) -> Payment:
    """The row of a claim, not written yet."""
    return Payment(
        identity=made.identity,
        resource_id=purpose.resource_id,
        account_id=offer.account_id,
        method=purpose.method,
        url=purpose.url,
        holder=purpose.holder,
        idempotency_key=purpose.idempotency_key,
        request_digest=purpose.request_digest,
        protocol=protocol,
        policy=purpose.policy,
        offer=offer.snapshot(),
        payload=None if made.payload is None else dict(made.payload),
        rail=offer.rail,
        network=offer.network,
        payer=made.payer,
        authorized=str(made.amount),
        price=offer.price,
        currency=offer.currency,
        state=State.CLAIMED,
        expires_at=made.expires_at,
        created_at=now,
        held_until=now,
        due_at=now,
    )


@durable.write_one
def _insert_alone(payment: Payment) -> None:
    """One that asks nothing else of the ledger."""
    durable.insert(payment)


@durable.write
def _insert(payment: Payment, ask_credit: bool, balance: Decimal | None) -> None:
    durable.set_fields(payment, on_credit=ask_credit and exposure.give(payment, balance))
    durable.insert(payment)
    coupons.use(payment)
    if payment.on_credit and not exposure.count_for_all(payment):
        durable.set_fields(payment, on_credit=False)
        payment.save(using=durable.alias(), update_fields=["on_credit"])


@durable.write
def prune(keys: Sequence[int]) -> int:
    """Delete payments that failed and left nothing behind, with their events. Returns how many."""
    rows = Payment.objects.using(durable.alias()).filter(
        pk__in=keys, state=State.FAILED, receipt__isnull=True, access_pass__isnull=True
    )
    left = list(rows.filter(refunds__isnull=True).values_list("pk", flat=True))
    PaymentEvent.objects.using(durable.alias()).filter(payment__in=left).delete()
    return Payment.objects.using(durable.alias()).filter(pk__in=left).delete()[0]


def account(payment: Payment) -> Account:
    """Where it goes, with what its rail has to know of that."""
    return Account.objects.using(durable.alias()).get(pk=payment.account_id)


def find(identities: list[str]) -> Payment | None:
    """The payment of a claim that may be spelled in several identities, or None."""
    return Payment.objects.using(durable.alias()).filter(identity__in=identities).first()
