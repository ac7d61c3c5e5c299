"""The only writer of `Payment.state`.

States move only along these arrows, each by compare-and-swap with an event beside it:

    claimed   -> settling  | failed
    settling  -> settled   | failed
    settled   -> confirmed | lost

and, when the chain took back what it had shown,

    settled   -> settling
    confirmed -> settled | settling | lost
    settling  -> lost      (what was settled once is never `failed`)

Who works on a payment holds it: `held_until` keeps others away, and `attempts`, which every
taking-up raises, tells a late worker that somebody else has taken over. `due_at` is when the
engine looks at it next; a buyer who comes back need not wait for that.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections, transaction
from django.db.models import F, Q
from django.dispatch import Signal
from django.utils import timezone

from paywall import coupons, credit, database, receipts, signals
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.models import AccessPass, Account, Payment, PaymentEvent, Resource
from paywall.models.payments import State
from paywall.vocabulary import Authorization, Offer, Paid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from paywall.models.payments import PaymentQuerySet
    from paywall.offers import ForSale

log = logging.getLogger(__name__)

COLLECTED_AFTER = timedelta(minutes=1)
"""A delivery so long after it was settled is worth an event: its buyer came back for it."""


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


def claim(
    authorization: Authorization,
    offer: Offer,
    purpose: Purpose,
    *,
    protocol: str,
    user_id: Any = None,
    hold: float,
    ask_credit: bool = False,
    balance: Decimal | None = None,
) -> tuple[Payment, bool]:
    """The payment of an authorization, and whether this call made it.

    The insert is the lock: of any number of callers with one authorization, one gets True and
    holds the payment for `hold` seconds. With `ask_credit` it may come out `on_credit`: then it
    may deliver before it is settled; but its payer never owes more than `balance`, if that is
    known (in units of the currency). Raises `Refused` where a coupon is used up.
    """
    now = timezone.now()
    payment = Payment(
        identity=authorization.identity,
        resource_id=purpose.resource_id,
        account_id=offer.account_id,
        user_id=user_id,
        method=purpose.method,
        url=purpose.url,
        holder=purpose.holder,
        protocol=protocol,
        policy=purpose.policy,
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
    try:
        _insert(payment, ask_credit, balance)
    except LedgerUnavailable as error:
        if not isinstance(error.__cause__, IntegrityError):
            raise
        earlier = find([authorization.identity])
        if earlier is None:
            raise
        return earlier, False
    return payment, True


@database.durable
def _insert(payment: Payment, ask_credit: bool, balance: Decimal | None) -> None:
    database.set_fields(payment, on_credit=ask_credit and credit.give(payment, balance))
    database.insert(payment)
    coupons.use(payment)
    if payment.on_credit and not credit.count_for_all(payment):
        database.set_fields(payment, on_credit=False)
        payment.save(using=database.alias(), update_fields=["on_credit"])


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
def take_up_some(due: PaymentQuerySet, most: int, hold: float) -> list[Payment]:
    """Hold up to `most` of the payments that are due, those that waited longest first.

    Workers do not wait for each other: what another is just taking up is passed over (where the
    database knows SKIP LOCKED; where it does not, writers take turns anyway).
    """
    now = timezone.now()
    found = due.filter(held_until__lte=now).order_by("due_at")
    if connections[database.alias()].features.has_select_for_update_skip_locked:
        found = found.select_for_update(skip_locked=True)
    keys = list(found.values_list("pk", flat=True)[:most])
    rows = Payment.objects.using(database.alias()).filter(pk__in=keys)
    rows.filter(held_until__lte=now).update(
        attempts=F("attempts") + 1, held_until=now + timedelta(seconds=hold)
    )
    return list(rows.order_by("due_at"))


@database.durable
def hold(payment: Payment, seconds: float) -> None:
    """Keep a payment that is held, for `seconds` from now. Raises `StaleMove`."""
    if not _rows(payment).update(held_until=timezone.now() + timedelta(seconds=seconds)):
        raise StaleMove(f"payment={payment.pk} was taken over")


@database.durable
def let_go(*payments: Payment, busy_for: float = 0, due_in: float = 0) -> None:
    """Hold payments no longer. Their buyers find them free after `busy_for` seconds; the engine
    looks at them again after `due_in`. Nothing happens to what somebody has taken over."""
    now = timezone.now()
    _rows(*payments).update(
        held_until=now + timedelta(seconds=busy_for), due_at=now + timedelta(seconds=due_in)
    )


@database.durable
def note(payment: Payment, kind: str, *, transaction: str = "", **data: Any) -> None:
    """Record what happened without moving the payment."""
    if transaction and not payment.tx_hash:
        Payment.objects.using(database.alias()).filter(pk=payment.pk, tx_hash="").update(
            tx_hash=transaction
        )
        database.set_fields(payment, tx_hash=transaction)
    _record([payment], kind, timezone.now(), transaction=transaction, **data)


@database.durable
def settling(
    payments: Sequence[Payment], hold: float, facilitator: str, transaction: str = ""
) -> None:
    """A settle call is about to go out, to that facilitator. Raises `StaleMove`."""
    now = timezone.now()
    changes: dict[str, Any] = {"tx_hash": transaction} if transaction else {}
    _move(
        payments,
        [State.CLAIMED],
        State.SETTLING,
        held_until=now + timedelta(seconds=hold),
        facilitator=facilitator,
        **changes,
    )


@database.durable
def asks_another(payment: Payment, facilitator: str, hold: float) -> None:
    """The one before did not send anything; the next one is about to be asked.

    Raises `StaleMove`.
    """
    now = timezone.now()
    rows = _rows(payment).filter(state=State.SETTLING)
    if not rows.update(facilitator=facilitator, held_until=now + timedelta(seconds=hold)):
        raise StaleMove(f"payment={payment.pk} was taken over")
    database.set_fields(payment, facilitator=facilitator)
    _record([payment], "asks another", now, facilitator=facilitator)


@database.durable
def settled(payments: Sequence[Payment], transaction: str) -> None:
    """A transaction was named. The buyers are owed what they bought, so there are receipts.

    Raises `StaleMove`.
    """
    now = timezone.now()
    may_have_receipts = [p for p in payments if p.on_credit or p.settled_at is not None]
    _move(
        payments,
        [State.SETTLING],
        State.SETTLED,
        signals.payment_settled,
        tx_hash=transaction,
        settled_at=now,
        due_at=now,
        error_code="",
        error_detail="",
    )
    have = receipts.of(may_have_receipts)
    receipts.issue([p for p in payments if p.pk not in have], now)
    credit.take_back(payments)


@database.durable
def failed(payment: Payment, code: str, detail: str = "") -> None:
    """It can never settle; what it opened on credit closes. Raises `StaleMove`.

    What was settled once, and taken back by the chain, is `lost`.
    """
    if _was_settled(payment):
        lost(payment, code, detail)
        return
    _move(
        [payment],
        [State.CLAIMED, State.SETTLING],
        State.FAILED,
        signals.payment_failed,
        error_code=code,
        error_detail=detail,
        closed_at=timezone.now(),
    )
    if payment.delivered_at is not None:
        revoke_pass(payment)
    credit.lose_favour(payment)
    coupons.give_back(payment)
    if payment.on_credit and payment.delivered_at is not None:
        credit.lose(payment)
    else:
        credit.take_back([payment])


@database.durable
def delivered(payment: Payment, sale: ForSale | None = None) -> None:
    """What was bought goes out now: at most once, so this is written before it leaves. Nobody
    holds it any more. `sale` is what was sold, if the caller knows it already.

    Raises `StaleMove` if it was delivered already or another request took over.
    """
    now = timezone.now()
    changed = database.change(
        Payment,
        '"delivered_at" = %s, "held_until" = %s, "due_at" = %s '
        'WHERE "id" = %s AND "attempts" = %s AND "delivered_at" IS NULL '
        'AND ("state" IN (%s, %s) OR ("state" = %s AND "on_credit"))',
        *(now, now, now, payment.pk, payment.attempts),
        *(State.SETTLED.value, State.CONFIRMED.value, State.CLAIMED.value),
    )
    if not changed:
        raise StaleMove(f"payment={payment.pk} cannot be delivered")
    database.set_fields(payment, delivered_at=now)
    if payment.state == State.CLAIMED:
        receipts.issue([payment], now, sale)
    elif payment.settled_at is not None and now - payment.settled_at > COLLECTED_AFTER:
        _record([payment], "collected", now)


@database.durable
def confirmed(found: Sequence[tuple[Sequence[Payment], Paid]]) -> None:
    """The chain shows payments, deep enough: final, and their receipts get their numbers.

    Each pair is a transaction and the payments in it. Raises `StaleMove`.
    """
    now = timezone.now()
    for payments, evidence in found:
        _move(
            payments,
            [State.SETTLED],
            State.CONFIRMED,
            signals.payment_confirmed,
            whoever_holds=True,
            tx_hash=evidence.transaction,
            block_number=evidence.block_number,
            block_hash=evidence.block_hash,
            confirmed_at=now,
            error_code="",
            error_detail="",
        )
    confirmed_now = [payment for payments, _ in found for payment in payments]
    credit.regain_favour(confirmed_now)
    receipts.number([payment.pk for payment in confirmed_now])


@database.durable
def seen_in_block(blocks: Mapping[int, int]) -> None:
    """The chain shows payments, by their keys, that cannot be moved now: the block of each is
    kept, so that nobody has to find it again."""
    rows = Payment.objects.using(database.alias()).exclude(state=State.CONFIRMED)
    for pk, block_number in blocks.items():
        rows.filter(pk=pk).update(block_number=block_number)


_BACK = {
    (State.SETTLED, State.SETTLING),
    (State.CONFIRMED, State.SETTLING),
    (State.CONFIRMED, State.SETTLED),
}


@database.durable
def taken_back(payment: Payment, state: State, reason: str) -> None:
    """The chain does not show any more what it had shown: back to `settled` or `settling`.

    Raises `StaleMove`.
    """
    origin = State(_fresh(payment).state)
    if (origin, state) not in _BACK:
        raise StaleMove(f"payment={payment.pk} is {origin}: it cannot be taken back to {state}")
    changes: dict[str, Any] = {"block_number": None, "block_hash": "", "confirmed_at": None}
    _move([payment], [origin], state, **changes, due_at=timezone.now(), error_detail=reason)
    if payment.on_credit and state == State.SETTLING:
        credit.count_again(payment)
    log.error("payment=%s is not on the chain any more: %s", payment.pk, reason)


@database.durable
def moved_to_block(payment: Payment, evidence: Paid) -> None:
    """A confirmed payment is in another block than it was. Raises `StaleMove`."""
    rows = _rows(payment).filter(state=State.CONFIRMED)
    changes = {
        "tx_hash": evidence.transaction,
        "block_number": evidence.block_number,
        "block_hash": evidence.block_hash,
    }
    if not rows.update(**changes):
        raise StaleMove(f"payment={payment.pk} is not confirmed any more")
    _record([payment], "in another block", timezone.now(), **changes)


@database.durable
def lost(payment: Payment, code: str, detail: str = "") -> None:
    """It was settled and the chain shows otherwise: passes go. Raises `StaleMove`."""
    was_taken_back = _was_settled(payment)
    origin = State.SETTLING if was_taken_back else State.SETTLED
    _move(
        [payment],
        [origin, State.CONFIRMED] if origin == State.SETTLED else [origin],
        State.LOST,
        signals.payment_lost,
        error_code=code,
        error_detail=detail,
        closed_at=timezone.now(),
    )
    revoke_pass(payment)
    credit.lose_favour(payment)
    if payment.on_credit:
        if not was_taken_back:
            credit.count_again(payment)
        credit.lose(payment)


def _was_settled(payment: Payment) -> bool:
    """Whether it is in `settling` because the chain took back what it had shown. Read here and
    now: the object may be older than what others did."""
    row = _fresh(payment)
    return row.state == State.SETTLING and row.settled_at is not None


@database.durable
def revoke_pass(payment: Payment) -> bool:
    """What a payment opened closes. Whether it opened something until now."""
    passes = AccessPass.objects.using(database.alias()).filter(payment=payment)
    return bool(passes.filter(revoked_at__isnull=True).update(revoked_at=timezone.now()))


@database.durable
def restore_pass(payment: Payment) -> None:
    """What a payment had opened is open again."""
    AccessPass.objects.using(database.alias()).filter(payment=payment).update(revoked_at=None)


@database.durable
def prune(keys: Sequence[int]) -> int:
    """Delete payments that failed and left nothing behind, with their events. Returns how many."""
    rows = Payment.objects.using(database.alias()).filter(
        pk__in=keys, state=State.FAILED, receipt__isnull=True, access_pass__isnull=True
    )
    left = list(rows.filter(refunds__isnull=True).values_list("pk", flat=True))
    PaymentEvent.objects.using(database.alias()).filter(payment__in=left).delete()
    return Payment.objects.using(database.alias()).filter(pk__in=left).delete()[0]


def account(payment: Payment) -> Account:
    """Where it goes, with how deep in the chain it must be to be final."""
    return Account.objects.using(database.alias()).get(pk=payment.account_id)


def find(identities: list[str]) -> Payment | None:
    """The payment of an authorization that may be spelled in several identities, or None."""
    return Payment.objects.using(database.alias()).filter(identity__in=identities).first()


def _move(
    payments: Sequence[Payment],
    origins: list[State],
    state: State,
    signal: Signal | None = None,
    *,
    whoever_holds: bool = False,
    **changes: Any,
) -> None:
    """Compare and swap, with the events; the signals go out once it is committed.

    All of them move, or none: then this raises `StaleMove`, and the transaction is off.
    `whoever_holds`: what the chain proves needs no holder's leave.
    """
    now = timezone.now()
    rows = _all_rows(payments) if whoever_holds else _rows(*payments)
    changed = rows.filter(state__in=origins).move(state, **changes)
    if changed != len(payments):
        keys = ", ".join(f"payment={payment.pk}" for payment in payments)
        raise StaleMove(f"{keys} did not move to {state}: somebody else moved it")
    told = {
        k: v
        for k, v in changes.items()
        if k in ("tx_hash", "error_code", "error_detail", "block_number", "facilitator") and v
    }
    _record(payments, state, now, **told)
    for payment in payments:
        came_from = payment.state
        database.set_fields(payment, state=state, **changes)
        _log_move(payment, came_from)
        for sent in (signals.payment_moved, signal):
            if sent is not None and sent.has_listeners():
                tell = partial(signals.tell, sent, payment)
                transaction.on_commit(tell, using=database.alias(), robust=True)


def _log_move(payment: Payment, came_from: str) -> None:
    is_loss = payment.state == State.FAILED and payment.delivered_at is not None
    log.log(
        logging.ERROR if is_loss or payment.state == State.LOST else logging.INFO,
        "payment=%s %s -> %s%s",
        payment.pk,
        came_from,
        payment.state,
        f" ({payment.error_code})" if payment.error_code else "",
        extra={
            "payment": payment.pk,
            "state": str(payment.state),
            "error_code": payment.error_code,
        },
    )


def _rows(*payments: Payment) -> Any:
    """The payments' rows, as far as nobody has taken them up since."""
    by_attempts: dict[int, list[int]] = {}
    for payment in payments:
        by_attempts.setdefault(payment.attempts, []).append(payment.pk)
    ours = Q(pk__in=[])
    for attempts, keys in by_attempts.items():
        ours |= Q(attempts=attempts, pk__in=keys)
    return Payment.objects.using(database.alias()).filter(ours)


def _all_rows(payments: Sequence[Payment]) -> Any:
    keys = [payment.pk for payment in payments]
    return Payment.objects.using(database.alias()).filter(pk__in=keys)


def _fresh(payment: Payment) -> Payment:
    return Payment.objects.using(database.alias()).get(pk=payment.pk)


def _record(payments: Sequence[Payment], kind: str, at: datetime, **data: Any) -> None:
    told = {k: v for k, v in data.items() if v not in ("", None)}
    events = [PaymentEvent(payment=payment, kind=kind, at=at, data=told) for payment in payments]
    if len(events) == 1:
        database.insert(events[0])
    else:
        PaymentEvent.objects.using(database.alias()).bulk_create(events)
