"""The only writer of `Payment.state`.

States move only along these arrows, each by compare-and-swap with an event beside it:

    claimed   -> settling  | failed
    settling  -> settled   | failed
    settled   -> confirmed | lost

and, when its rail took back what it had shown (a reorganised chain, say),

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
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.dispatch import Signal
from django.utils import timezone

from paywall import durable, signals
from paywall.catalog import coupons
from paywall.exceptions import StaleMove
from paywall.ledger import exposure, openings, receipts
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
def note(payment: Payment, kind: str, *, reference: str = "", **data: Any) -> None:
    """Record what happened without moving the payment."""
    if reference and not payment.reference:
        Payment.objects.using(durable.alias()).filter(pk=payment.pk, reference="").update(
            reference=reference
        )
        durable.set_fields(payment, reference=reference)
    record([payment], kind, timezone.now(), reference=reference, **data)


@durable.write
def settling(
    payments: Sequence[Payment], hold: float, facilitator: str, reference: str = ""
) -> None:
    """A settle call is about to go out, to that facilitator. Raises `StaleMove`."""
    now = timezone.now()
    changes: dict[str, Any] = {"reference": reference} if reference else {}
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
def settled(
    payments: Sequence[Payment],
    reference: str,
    captured: int | None = None,
    sale: ForSale | None = None,
) -> None:
    """The money moved, under that reference: `captured` of it (of one payment, in atomic units), or
    what was used, or else all that was allowed. The buyers are owed what they bought, so there are
    receipts. `sale` is what was sold, if the caller knows it already.

    Raises `StaleMove`.
    """
    now = timezone.now()
    by_use = any(payment.used is not None for payment in payments)
    captured_ = Coalesce("used", "authorized") if by_use else F("authorized")
    taken: dict[str, Any] = {"captured": captured_}
    if captured is not None:
        (payment,) = payments
        taken = {"captured": str(captured)}
        offer = payment.taken_offer
        if captured != offer.amount:
            taken["price"] = Decimal(captured).scaleb(-offer.decimals)
    may_have_receipts = [p for p in payments if p.on_credit or p.settled_at is not None]
    _move(
        payments,
        [State.SETTLING],
        State.SETTLED,
        signals.payment_settled,
        reference=reference,
        settled_at=now,
        **taken,
        due_at=now,
        error_code="",
        error_detail="",
    )
    have = receipts.of(may_have_receipts)
    receipts.issue([p for p in payments if p.pk not in have], now, sale)
    exposure.take_back(payments)


@durable.write
def failed(payment: Payment, code: str, detail: str = "") -> None:
    """It can never settle; what it opened on credit closes. Raises `StaleMove`.

    What was settled once, and taken back, is `lost`.
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
        openings.close(payment)
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
def deliver(payment: Payment, sale: ForSale, holder: str) -> None:
    """What was bought goes out now, with what it opens: for the browser that `holder` names.
    Raises `StaleMove`."""
    delivered(payment, sale)
    openings.open_(payment, sale.access, sale.pass_seconds, holder)


@durable.write
def confirmed(found: Sequence[tuple[Sequence[Payment], Paid]]) -> None:
    """Payments are proven, and that will stand: final, and their receipts get their numbers.

    Each pair is evidence and the payments that it proves. Raises `StaleMove`.
    """
    now = timezone.now()
    for payments, evidence in found:
        _move(
            payments,
            [State.SETTLED],
            State.CONFIRMED,
            signals.payment_confirmed,
            whoever_holds=True,
            reference=evidence.reference,
            position=evidence.position,
            evidence=dict(evidence.evidence),
            **({} if evidence.fee is None else {"fee": evidence.fee}),
            confirmed_at=now,
            error_code="",
            error_detail="",
        )
    confirmed_now = [payment for payments, _ in found for payment in payments]
    exposure.regain_favour(confirmed_now)
    receipts.number([payment.pk for payment in confirmed_now])


@durable.write
def seen_at(positions: Mapping[int, int]) -> None:
    """Payments, by their keys, were seen that cannot be moved now: the position of each is kept, so
    that nobody has to find it again."""
    rows = Payment.objects.using(durable.alias()).exclude(state=State.CONFIRMED)
    for pk, position in positions.items():
        rows.filter(pk=pk).update(position=position)


_BACK = {
    (State.SETTLED, State.SETTLING),
    (State.CONFIRMED, State.SETTLING),
    (State.CONFIRMED, State.SETTLED),
}


@durable.write
def taken_back(payment: Payment, state: State, reason: str) -> None:
    """Its rail does not show any more what it had shown: back to `settled` or `settling`.

    Raises `StaleMove`.
    """
    origin = State(fresh(payment).state)
    if (origin, state) not in _BACK:
        raise StaleMove(f"payment={payment.pk} is {origin}: it cannot be taken back to {state}")
    changes: dict[str, Any] = {"position": None, "evidence": {}, "confirmed_at": None}
    _move([payment], [origin], state, **changes, due_at=timezone.now(), error_detail=reason)
    if payment.on_credit and state == State.SETTLING:
        exposure.count_again(payment)
    log.error("payment=%s is not to be seen any more: %s", payment.pk, reason)


@durable.write
def proven_anew(payment: Payment, paid: Paid) -> None:
    """A confirmed payment is proven by something else than it was. Raises `StaleMove`."""
    rows = rows_held(payment).filter(state=State.CONFIRMED)
    changes: dict[str, Any] = {
        "reference": paid.reference,
        "position": paid.position,
        "evidence": dict(paid.evidence),
    }
    if not rows.update(**changes):
        raise StaleMove(f"payment={payment.pk} is not confirmed any more")
    record([payment], "proven anew", timezone.now(), **changes)
    durable.set_fields(payment, **changes)


@durable.write
def lost(payment: Payment, code: str, detail: str = "") -> None:
    """It was settled, and did not stay so: what it opened closes. Raises `StaleMove`."""
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
    _, spent = openings.close(payment)
    if spent:
        note(payment, "spent before it was lost", amount=str(spent))
    exposure.lose_favour(payment)
    if payment.on_credit:
        if not was_taken_back:
            exposure.count_again(payment)
        exposure.lose(payment)


def _was_settled(payment: Payment) -> bool:
    """Whether it is in `settling` because what had settled it was taken back. Read here and
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
    `whoever_holds`: what is proven needs no holder's leave.
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
        if k in ("reference", "error_code", "error_detail", "position", "facilitator") and v
    }
    record(payments, state, now, **told)
    for payment in payments:
        came_from = payment.state
        now_so = dict(changes)
        if isinstance(changes.get("captured"), F | Coalesce):
            now_so["captured"] = payment.used or payment.authorized
        durable.set_fields(payment, state=state, **now_so)
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
