"""The only writer of `Payment.state`.

States move only along these arrows, each by compare-and-swap with an event beside it:

    claimed  -> settling | failed
    settling -> settled  | failed
    settled  -> confirmed | lost

Who works on a payment holds it: `held_until` keeps others away, and `attempts`, which every
taking-up raises, tells a late worker that somebody else has taken over. `due_at` is when the
engine looks at it next; a buyer who comes back need not wait for that.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q
from django.dispatch import Signal
from django.utils import timezone

from paywall import credit, database, signals
from paywall.exceptions import StaleMove
from paywall.models import AccessPass, Account, Payment, PaymentEvent, Receipt, Resource
from paywall.models.payments import State
from paywall.vocabulary import Authorization, Offer, Paid, money

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a payment is made for; it serves nothing else."""

    resource_id: int
    method: str
    url: str


@database.durable
def claim(
    authorization: Authorization,
    offer: Offer,
    purpose: Purpose,
    *,
    protocol: str,
    user_id: Any = None,
    hold: float,
    ask_credit: bool = False,
) -> tuple[Payment, bool]:
    """The payment of an authorization, and whether this call made it.

    The insert is the lock: of any number of callers with one authorization, one gets True and
    holds the payment for `hold` seconds. With `ask_credit` it may come out `on_credit`: then it
    may deliver before it is settled.
    """
    now = timezone.now()
    payment = Payment(
        identity=authorization.identity,
        resource_id=purpose.resource_id,
        account_id=offer.account_id,
        user_id=user_id,
        method=purpose.method,
        url=purpose.url,
        protocol=protocol,
        offer=offer.snapshot(),
        payload=dict(authorization.payload),
        network=offer.network,
        payer=authorization.payer,
        amount=str(offer.amount),
        price=offer.price,
        currency=offer.currency,
        state=State.CLAIMED,
        expires_at=authorization.expires_at,
        created_at=now,
        held_until=now + timedelta(seconds=hold),
        due_at=now,
    )
    using = database.alias()
    try:
        with transaction.atomic(using=using):
            payment.save(using=using, force_insert=True)
    except IntegrityError:
        return Payment.objects.using(using).get(identity=authorization.identity), False
    if ask_credit and credit.give(payment):
        payment.on_credit = True
        payment.save(using=using, update_fields=["on_credit"])
    told = {"on_credit": True} if payment.on_credit else {}
    _record(payment, "claimed", now, resource=purpose.resource_id, url=purpose.url, **told)
    return payment, True


@database.durable
def take_up(payment: Payment, hold: float, *, though_held: bool = False) -> Payment | None:
    """Hold a payment that nobody holds, for `hold` seconds; None if somebody was quicker.

    `though_held` takes it from its holder, who finds that out at its next move.
    """
    now = timezone.now()
    rows = _rows(payment) if though_held else _rows(payment).filter(held_until__lte=now)
    taken = rows.update(attempts=F("attempts") + 1, held_until=now + timedelta(seconds=hold))
    return _fresh(payment) if taken else None


@database.durable
def hold(payment: Payment, seconds: float) -> None:
    """Keep a payment that is held, for `seconds` from now. Raises `StaleMove`."""
    if not _rows(payment).update(held_until=timezone.now() + timedelta(seconds=seconds)):
        raise StaleMove(f"payment={payment.pk} was taken over")


@database.durable
def let_go(payment: Payment, *, busy_for: float = 0, due_in: float = 0) -> None:
    """Hold a payment no longer. Its buyer finds it free after `busy_for` seconds; the engine
    looks at it again after `due_in`. Nothing happens if somebody has taken it over."""
    now = timezone.now()
    _rows(payment).update(
        held_until=now + timedelta(seconds=busy_for), due_at=now + timedelta(seconds=due_in)
    )


@database.durable
def note(payment: Payment, kind: str, *, transaction: str = "", **data: Any) -> None:
    """Record what happened without moving the payment."""
    if transaction and not payment.tx_hash:
        Payment.objects.using(database.alias()).filter(pk=payment.pk, tx_hash="").update(
            tx_hash=transaction
        )
        payment.tx_hash = transaction
    _record(payment, kind, timezone.now(), transaction=transaction, **data)


@database.durable
def settling(payment: Payment, hold: float) -> None:
    """A settle call is about to go out. Raises `StaleMove`."""
    now = timezone.now()
    _move(payment, [State.CLAIMED], State.SETTLING, held_until=now + timedelta(seconds=hold))


@database.durable
def settled(payment: Payment, transaction: str) -> None:
    """A transaction was named. The buyer is owed what it bought, so there is a receipt.

    Raises `StaleMove`.
    """
    now = timezone.now()
    _move(
        payment,
        [State.SETTLING],
        State.SETTLED,
        signals.payment_settled,
        tx_hash=transaction,
        settled_at=now,
        due_at=now,
        error_code="",
        error_detail="",
    )
    _issue_receipt(payment, now)


@database.durable
def failed(payment: Payment, code: str, detail: str = "") -> None:
    """It can never settle; what it opened on credit closes. Raises `StaleMove`."""
    _move(
        payment,
        [State.CLAIMED, State.SETTLING],
        State.FAILED,
        signals.payment_failed,
        error_code=code,
        error_detail=detail,
        closed_at=timezone.now(),
    )
    if payment.delivered_at is not None:
        _revoke_pass(payment)


@database.durable
def delivered(payment: Payment) -> None:
    """What was bought goes out now: at most once, so this is written before it leaves.

    Raises `StaleMove` if it was delivered already or another request took over.
    """
    now = timezone.now()
    paid = Q(state__in=[State.SETTLED, State.CONFIRMED])
    trusted = Q(state=State.CLAIMED, on_credit=True)
    changed = (
        _rows(payment).filter(paid | trusted, delivered_at__isnull=True).update(delivered_at=now)
    )
    if not changed:
        raise StaleMove(f"payment={payment.pk} cannot be delivered")
    payment.delivered_at = now
    _record(payment, "delivered", now)
    if payment.on_credit:
        _issue_receipt(payment, now)


@database.durable
def confirmed(payment: Payment, evidence: Paid) -> None:
    """The chain shows it, deep enough: final, and its receipt gets its number.

    Raises `StaleMove`.
    """
    now = timezone.now()
    using = database.alias()
    _move(
        payment,
        [State.SETTLED],
        State.CONFIRMED,
        signals.payment_confirmed,
        tx_hash=evidence.transaction,
        block_number=evidence.block_number,
        block_hash=evidence.block_hash,
        confirmed_at=now,
        error_code="",
        error_detail="",
    )
    # One numbering at a time, so that there are no gaps: whoever has the first receipt locked
    # counts. (Before there is one, and on SQLite, the unique number or the write lock decides.)
    receipts = Receipt.objects.using(using)
    receipts.select_for_update().filter(number=1).first()
    last = receipts.aggregate(last=Max("number"))["last"] or 0
    receipts.filter(payment=payment).update(number=last + 1)


@database.durable
def lost(payment: Payment, code: str, detail: str = "") -> None:
    """It was settled and the chain shows otherwise: passes go. Raises `StaleMove`."""
    _move(
        payment,
        [State.SETTLED],
        State.LOST,
        signals.payment_lost,
        error_code=code,
        error_detail=detail,
        closed_at=timezone.now(),
    )
    _revoke_pass(payment)


def _revoke_pass(payment: Payment) -> None:
    passes = AccessPass.objects.using(database.alias()).filter(payment=payment)
    passes.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())


def _issue_receipt(payment: Payment, at: datetime) -> None:
    """The receipt of what is delivered or owed; on credit, the delivery issued it already."""
    receipts = Receipt.objects.using(database.alias())
    if payment.on_credit and receipts.filter(payment=payment).exists():
        return
    offer = payment.taken_offer
    resource = Resource.objects.using(database.alias()).get(pk=payment.resource_id)
    receipts.create(
        payment=payment,
        issued_at=at,
        sold={
            "resource": resource.slug,
            "title": resource.title,
            "url": payment.url,
            "method": payment.method,
            "price": money(offer.price),
            "currency": offer.currency,
            "symbol": offer.symbol,
        },
    )


def confirmations(payment: Payment) -> int:
    """How deep in the chain a payment must be to be final."""
    return Account.objects.using(database.alias()).get(pk=payment.account_id).confirmations


def find(identities: list[str]) -> Payment | None:
    """The payment of an authorization that may be spelled in several identities, or None."""
    return Payment.objects.using(database.alias()).filter(identity__in=identities).first()


def _move(
    payment: Payment,
    origins: list[State],
    state: State,
    signal: Signal | None = None,
    **changes: Any,
) -> None:
    """Compare and swap, with the event; the signal goes out once it is committed."""
    now = timezone.now()
    came_from = payment.state
    changed = _rows(payment).filter(state__in=origins).update(state=state, **changes)
    if not changed:
        raise StaleMove(f"payment={payment.pk} did not move to {state}: somebody else moved it")
    if payment.on_credit and state in (State.SETTLED, State.FAILED):
        credit.take_back(payment)
    payment.state = state
    for name, value in changes.items():
        setattr(payment, name, value)
    told = {
        k: v for k, v in changes.items() if k in ("tx_hash", "error_code", "error_detail") and v
    }
    if "block_number" in changes:
        told["block_number"] = changes["block_number"]
    _record(payment, state, now, **told)
    is_loss = state in (State.FAILED, State.LOST) and payment.delivered_at is not None
    level = logging.ERROR if is_loss or state == State.LOST else logging.INFO
    log.log(
        level,
        "payment=%s %s -> %s%s",
        payment.pk,
        came_from,
        state,
        f" ({payment.error_code})" if payment.error_code else "",
        extra={"payment": payment.pk, "state": str(state), "error_code": payment.error_code},
    )
    if signal is not None:
        transaction.on_commit(lambda: _tell(signal, payment), using=database.alias(), robust=True)


def _tell(signal: Signal, payment: Payment) -> None:
    for receiver, answer in signal.send_robust(Payment, payment=payment):
        if isinstance(answer, Exception):
            log.error("payment=%s: %r failed", payment.pk, receiver, exc_info=answer)


def _rows(payment: Payment) -> Any:
    """The payment's row, if nobody has taken it up since."""
    return Payment.objects.using(database.alias()).filter(pk=payment.pk, attempts=payment.attempts)


def _fresh(payment: Payment) -> Payment:
    return Payment.objects.using(database.alias()).get(pk=payment.pk)


def _record(payment: Payment, kind: str, at: datetime, **data: Any) -> None:
    PaymentEvent.objects.using(database.alias()).create(
        payment=payment, kind=kind, at=at, data={k: v for k, v in data.items() if v != ""}
    )
