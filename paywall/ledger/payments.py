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
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from paywall import durable, signals
from paywall.catalog import coupons
from paywall.exceptions import StaleMove
from paywall.ledger import exposure, receipts
from paywall.ledger.passes import revoke_pass
from paywall.ledger.rows import all_rows, fresh, record, rows_held
from paywall.models import Payment
from paywall.models.payments import State
from paywall.vocabulary import Paid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.catalog.offers import ForSale

log = logging.getLogger(__name__)

COLLECTED_AFTER = timedelta(minutes=1)
"""A delivery so long after it was settled is worth an event: its buyer came back for it."""


@durable.write
def note(payment: Payment, kind: str, *, transaction: str = "", **data: Any) -> None:
    """Record what happened without moving the payment."""
    if transaction and not payment.tx_hash:
        Payment.objects.using(durable.alias()).filter(pk=payment.pk, tx_hash="").update(
            tx_hash=transaction
        )
        durable.set_fields(payment, tx_hash=transaction)
    record([payment], kind, timezone.now(), transaction=transaction, **data)


@durable.write
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


@durable.write
def asks_another(payment: Payment, facilitator: str, hold: float) -> None:
    """The one before did not send anything; the next one is about to be asked.

    Raises `StaleMove`.
    """
    now = timezone.now()
    rows = rows_held(payment).filter(state=State.SETTLING)
    if not rows.update(facilitator=facilitator, held_until=now + timedelta(seconds=hold)):
        raise StaleMove(f"payment={payment.pk} was taken over")
    durable.set_fields(payment, facilitator=facilitator)
    record([payment], "asks another", now, facilitator=facilitator)


@durable.write
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
    exposure.take_back(payments)


@durable.write
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
    exposure.lose_favour(payment)
    coupons.give_back(payment)
    if payment.on_credit and payment.delivered_at is not None:
        exposure.lose(payment)
    else:
        exposure.take_back([payment])


@durable.write
def delivered(payment: Payment, sale: ForSale | None = None) -> None:
    """What was bought goes out now: at most once, so this is written before it leaves. Nobody
    holds it any more. `sale` is what was sold, if the caller knows it already.

    Raises `StaleMove` if it was delivered already or another request took over.
    """
    now = timezone.now()
    changed = durable.change(
        Payment,
        '"delivered_at" = %s, "held_until" = %s, "due_at" = %s '
        'WHERE "id" = %s AND "attempts" = %s AND "delivered_at" IS NULL '
        'AND ("state" IN (%s, %s) OR ("state" = %s AND "on_credit"))',
        *(now, now, now, payment.pk, payment.attempts),
        *(State.SETTLED.value, State.CONFIRMED.value, State.CLAIMED.value),
    )
    if not changed:
        raise StaleMove(f"payment={payment.pk} cannot be delivered")
    durable.set_fields(payment, delivered_at=now)
    if payment.state == State.CLAIMED:
        receipts.issue([payment], now, sale)
    elif payment.settled_at is not None and now - payment.settled_at > COLLECTED_AFTER:
        record([payment], "collected", now)


@durable.write
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
    exposure.regain_favour(confirmed_now)
    receipts.number([payment.pk for payment in confirmed_now])


@durable.write
def seen_in_block(blocks: Mapping[int, int]) -> None:
    """The chain shows payments, by their keys, that cannot be moved now: the block of each is
    kept, so that nobody has to find it again."""
    rows = Payment.objects.using(durable.alias()).exclude(state=State.CONFIRMED)
    for pk, block_number in blocks.items():
        rows.filter(pk=pk).update(block_number=block_number)


_BACK = {
    (State.SETTLED, State.SETTLING),
    (State.CONFIRMED, State.SETTLING),
    (State.CONFIRMED, State.SETTLED),
}


@durable.write
def taken_back(payment: Payment, state: State, reason: str) -> None:
    """The chain does not show any more what it had shown: back to `settled` or `settling`.

    Raises `StaleMove`.
    """
    origin = State(fresh(payment).state)
    if (origin, state) not in _BACK:
        raise StaleMove(f"payment={payment.pk} is {origin}: it cannot be taken back to {state}")
    changes: dict[str, Any] = {"block_number": None, "block_hash": "", "confirmed_at": None}
    _move([payment], [origin], state, **changes, due_at=timezone.now(), error_detail=reason)
    if payment.on_credit and state == State.SETTLING:
        exposure.count_again(payment)
    log.error("payment=%s is not on the chain any more: %s", payment.pk, reason)


@durable.write
def moved_to_block(payment: Payment, evidence: Paid) -> None:
    """A confirmed payment is in another block than it was. Raises `StaleMove`."""
    rows = rows_held(payment).filter(state=State.CONFIRMED)
    changes = {
        "tx_hash": evidence.transaction,
        "block_number": evidence.block_number,
        "block_hash": evidence.block_hash,
    }
    if not rows.update(**changes):
        raise StaleMove(f"payment={payment.pk} is not confirmed any more")
    record([payment], "in another block", timezone.now(), **changes)


@durable.write
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
    exposure.lose_favour(payment)
    if payment.on_credit:
        if not was_taken_back:
            exposure.count_again(payment)
        exposure.lose(payment)


def _was_settled(payment: Payment) -> bool:
    """Whether it is in `settling` because the chain took back what it had shown. Read here and
    now: the object may be older than what others did."""
    row = fresh(payment)
    return row.state == State.SETTLING and row.settled_at is not None


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
    rows = all_rows(payments) if whoever_holds else rows_held(*payments)
    changed = rows.filter(state__in=origins).move(state, **changes)
    if changed != len(payments):
        keys = ", ".join(f"payment={payment.pk}" for payment in payments)
        raise StaleMove(f"{keys} did not move to {state}: somebody else moved it")
    told = {
        k: v
        for k, v in changes.items()
        if k in ("tx_hash", "error_code", "error_detail", "block_number", "facilitator") and v
    }
    record(payments, state, now, **told)
    for payment in payments:
        came_from = payment.state
        durable.set_fields(payment, state=state, **changes)
        _log_move(payment, came_from)
        for sent in (signals.payment_moved, signal):
            if sent is not None and sent.has_listeners():
                tell = partial(signals.tell, sent, payment)
                transaction.on_commit(tell, using=durable.alias(), robust=True)


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
