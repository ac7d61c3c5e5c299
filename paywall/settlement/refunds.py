"""Money that goes back: the only writer of `Refund.state`.

    requested -> sent -> confirmed | failed
    requested -> failed      (called off before anything was sent)
    sent -> unclear          (nothing to be seen of it for long, or it can never come)
    unclear -> confirmed     (it was found after all)
    unclear -> failed        (somebody looked, and says why)

How much of a payment is refunded, or about to be, stands on the payment and is changed by
compare-and-swap: who asks says what stood there when they looked. So two people who click at
once make one refund, and never more goes back than came in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from paywall import adapter, crashpoints, durable, ledger, signals
from paywall.effects import query
from paywall.exceptions import PaywallError, StaleMove
from paywall.ledger import balances
from paywall.models import Balance, BalanceEntry, Payment, Refund
from paywall.models.payments import State as PaymentState
from paywall.rails import registry
from paywall.rails.base import Refunds, Unacceptable, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paywall.effects import Steps
    from paywall.models.refunds import RefundQuerySet

log = logging.getLogger(__name__)

State = Refund.State

HOLD = timedelta(seconds=60)
LOOK_EVERY = timedelta(seconds=5)
LOOK_AT_UNCLEAR_EVERY = timedelta(minutes=10)

on_request: list[Callable[[], None]] = []
"""Called once a refund is committed; the tasks put a message to the worker here."""


class RefundRefused(PaywallError):
    """It cannot be refunded so; the message is for whoever asked."""


def remaining(payment: Payment) -> int:
    """What of a payment can still go back, in atomic units."""
    return payment.atomic_amount - int(payment.refunded)


def request(
    payment: Payment,
    amount: int,
    reason: str,
    *,
    by: Any = None,
    seen: int,
    revoke_pass: bool | None = False,
    sent_in: str = "",
    sender: str = "",
) -> Refund:
    """Ask for `amount` (atomic units) of a payment to go back to its payer.

    `seen` is what was refunded of it when the one who asks looked. `revoke_pass` None leaves it to
    the site's adapter (by default: if nothing is left). The site sends it, where its
    rail can; or the owner sent it already, and names its reference in `sent_in`, which is then
    looked up: it counts if it came from the site, from the account's recipient, or from `sender`.
    Raises `RefundRefused`.
    """
    if amount <= 0:
        raise RefundRefused("The amount of a refund is more than zero.")
    if payment.state != PaymentState.CONFIRMED:
        raise RefundRefused("Only a confirmed payment can be refunded: others are not final.")
    if revoke_pass is None:
        revoke_pass = closes(payment, remaining(payment) - amount)
    rail = registry.able(payment.rail, Refunds)
    if rail is None:
        raise RefundRefused(f"Nothing is refunded on the rail {payment.rail!r}.")
    try:
        sent_in, sender = rail.check_refund(payment, sent_in, sender)
    except Unacceptable as error:
        raise RefundRefused(str(error)) from error
    return _request(payment, amount, reason, by, seen, revoke_pass, sent_in, sender)


def closes(payment: Payment, left: int) -> bool:
    """Whether a refund that leaves so much (atomic units) closes what was bought, as the site's
    adapter has it."""
    in_token = Decimal(left).scaleb(-payment.taken_offer.decimals)
    return adapter.refund_closes(payment, in_token)


def request_rest(balance: Balance, reason: str, *, by: Any = None) -> tuple[list[Refund], Decimal]:
    """Ask for what is left on a balance to go back to who topped it up, by the payments that did,
    the newest first. Returns the refunds, and what none of them could take (a payment that is not
    final yet, or whose rail refunds nothing)."""
    made: list[Refund] = []
    entries = BalanceEntry.objects.using(durable.alias()).filter(balance=balance)
    topped_up = entries.filter(kind=BalanceEntry.Kind.TOP_UP).select_related("payment")
    rest = Balance.objects.using(durable.alias()).get(pk=balance.pk).amount
    for entry in topped_up.order_by("-pk"):
        if rest <= 0:
            break
        payment = entry.payment
        assert payment is not None  # a constraint's
        seen, decimals = int(payment.refunded), payment.taken_offer.decimals
        amount = min(int(rest.scaleb(decimals)), payment.atomic_amount - seen)
        if amount <= 0:
            continue
        try:
            made.append(request(payment, amount, reason, by=by, seen=seen))
        except RefundRefused as error:
            log.warning("payment=%s is not refunded with its balance: %s", payment.pk, error)
            continue
        rest -= Decimal(amount).scaleb(-decimals)
    if made:
        balances.answered(balance)
    return made, rest


def can_send(payments: Sequence[Payment]) -> bool:
    """Whether the site itself can send the refunds of all of them."""
    rails = {payment.rail: registry.able(payment.rail, Refunds) for payment in payments}
    return all(rail is not None and rail.sends_refunds() for rail in rails.values())


@durable.write
def _request(
    payment: Payment,
    amount: int,
    reason: str,
    by: Any,
    seen: int,
    revoke_pass: bool,
    sent_in: str,
    sender: str,
) -> Refund:
    using = durable.alias()
    if seen + amount > payment.atomic_amount:
        raise RefundRefused("More would go back than came in.")
    recorded = Refund.objects.using(using).filter(reference=sent_in)
    if sent_in and recorded.exclude(state=State.FAILED).exists():
        raise RefundRefused("That transaction is recorded for another refund.")
    rows = Payment.objects.using(using).filter(pk=payment.pk, state=PaymentState.CONFIRMED)
    if not rows.filter(refunded=str(seen)).update(refunded=str(seen + amount)):
        raise RefundRefused("Somebody else has just refunded this payment: look again.")
    durable.set_fields(payment, refunded=str(seen + amount))
    refund = Refund(
        payment=payment,
        amount=str(amount),
        reason=reason,
        by=by,
        is_ours_to_send=not sent_in,
        reference=sent_in,
        sender=sender,
        revoked_pass=revoke_pass and ledger.revoke_pass(payment),
        state=State.SENT if sent_in else State.REQUESTED,
    )
    refund.save(using=using, force_insert=True)
    if not balances.refund(refund):
        raise RefundRefused(
            "It topped up a balance, and its holder has spent it: refund what is left there."
        )
    ledger.note(payment, "refund requested", refund=refund.pk, amount=str(amount), why=reason)
    log.info("payment=%s refund=%s of %s units requested", payment.pk, refund.pk, amount)
    for tell in on_request:
        transaction.on_commit(tell, using=using, robust=True)
    return refund


@durable.write
def call_off(refund: Refund) -> None:
    """Take a request back before anything was sent. Raises `RefundRefused`."""
    rows = Refund.objects.using(durable.alias()).filter(pk=refund.pk, state=State.REQUESTED)
    if not rows.move(State.FAILED, error_detail="called off", closed_at=timezone.now()):
        raise RefundRefused("It is sent already, or closed.")
    durable.set_fields(refund, state=State.FAILED)
    _give_back(refund)


@durable.write
def close(refund: Refund, reason: str) -> None:
    """Somebody looked at a refund that is unclear, and it did not go out: what it held can be
    refunded again, and the pass that it revoked is good again. Raises `RefundRefused`."""
    if not reason.strip():
        raise RefundRefused("Say why: it stays with the payment.")
    rows = Refund.objects.using(durable.alias()).filter(pk=refund.pk, state=State.UNCLEAR)
    if not rows.move(State.FAILED, error_detail=reason, closed_at=timezone.now()):
        raise RefundRefused("Only a refund that is unclear is closed by hand.")
    durable.set_fields(refund, state=State.FAILED, error_detail=reason)
    log.warning("payment=%s refund=%s closed by hand: %s", refund.payment_id, refund.pk, reason)
    _give_back(refund)


def due() -> list[Refund]:
    """Those that have to be sent or looked up now, on which nobody works."""
    now = timezone.now()
    rows = Refund.objects.using(durable.alias()).filter(
        state__in=Refund.OPEN, due_at__lte=now, held_until__lte=now
    )
    return list(rows.select_related("payment").order_by("due_at")[:100])


@durable.write
def take_up(refund: Refund) -> bool:
    """Hold a refund for a minute; False if somebody was quicker."""
    now = timezone.now()
    rows = Refund.objects.using(durable.alias()).filter(pk=refund.pk, held_until__lte=now)
    return bool(rows.update(held_until=now + HOLD))


def see_to(refund: Refund) -> Steps[None]:
    """Send a refund, or look for it. The caller holds it."""
    crashpoints.reach("refund: taken up")
    try:
        rail = registry.able(refund.payment.rail, Refunds)
        if rail is None:
            raise Unreachable(f"the rail {refund.payment.rail!r} is gone from the settings")
        if refund.state == State.REQUESTED:
            yield from _send(refund, rail)
        elif refund.state in (State.SENT, State.UNCLEAR):
            yield from _look(refund, rail)
    except Unreachable as error:
        yield from query(_note, refund, str(error))
        log.warning("refund=%s waits: %s", refund.pk, error)
    yield from query(_let_go, refund)


def _send(refund: Refund, rail: Refunds) -> Steps[None]:
    @durable.write
    def mark(reference: str) -> None:
        rows = Refund.objects.using(durable.alias()).filter(pk=refund.pk, state=State.REQUESTED)
        if not rows.move(State.SENT, reference=reference, error_detail=""):
            raise StaleMove(f"refund={refund.pk} was sent or called off meanwhile")
        durable.set_fields(refund, state=State.SENT, reference=reference)

    try:
        yield from rail.send_refund(refund, mark)
    except StaleMove as error:
        log.warning("%s", error)


def _look(refund: Refund, rail: Refunds) -> Steps[None]:
    """Raises `Unreachable`."""
    seen = yield from rail.look_for_refund(refund)
    if seen.found:
        yield from query(_confirmed, refund, seen.reference)
        crashpoints.reach("refund: confirmed")
    elif seen.found is False:
        yield from query(_failed, refund, seen.why)
    elif seen.hopeless:
        yield from query(_unclear, refund, seen.why)


@durable.write
def _confirmed(refund: Refund, reference: str) -> None:
    now = timezone.now()
    changes = {"reference": reference, "closed_at": now, "error_detail": ""}
    if not _sent(refund).move(State.CONFIRMED, **changes):
        return
    durable.set_fields(refund, state=State.CONFIRMED, **changes)
    ledger.note(refund.payment, "refunded", refund=refund.pk, amount=refund.amount, tx=reference)
    log.info("payment=%s refund=%s confirmed", refund.payment_id, refund.pk)
    transaction.on_commit(
        lambda: signals.tell(signals.payment_refunded, refund.payment, refund=refund),
        using=durable.alias(),
        robust=True,
    )


@durable.write
def _failed(refund: Refund, why: str) -> None:
    if not _sent(refund).move(State.FAILED, error_detail=why, closed_at=timezone.now()):
        return
    durable.set_fields(refund, state=State.FAILED)
    log.error("payment=%s refund=%s failed: %s", refund.payment_id, refund.pk, why)
    _give_back(refund)


@durable.write
def _unclear(refund: Refund, why: str) -> None:
    """Nobody can tell whether it went out: the owner is alerted, and closes it or waits."""
    rows = Refund.objects.using(durable.alias()).filter(pk=refund.pk, state=State.SENT)
    if not rows.move(State.UNCLEAR, error_detail=why):
        return
    durable.set_fields(refund, state=State.UNCLEAR, error_detail=why)
    log.error("payment=%s refund=%s is unclear: %s", refund.payment_id, refund.pk, why)
    ledger.note(refund.payment, "refund unclear", refund=refund.pk, why=why)


def _sent(refund: Refund) -> RefundQuerySet:
    rows = Refund.objects.using(durable.alias()).filter(pk=refund.pk)
    return rows.filter(state__in=[State.SENT, State.UNCLEAR])


def _give_back(refund: Refund) -> None:
    """What will not be refunded can be refunded again, and the pass that went with it is good
    again. In the transaction that closes it."""
    rows = Payment.objects.using(durable.alias()).select_for_update()
    payment = rows.get(pk=refund.payment_id)
    payment.refunded = str(int(payment.refunded) - int(refund.amount))
    payment.save(using=durable.alias(), update_fields=["refunded"])
    if refund.revoked_pass:
        ledger.restore_pass(payment)
    balances.refund_undone(refund)
    ledger.note(payment, "refund failed", refund=refund.pk, amount=refund.amount)


@durable.write
def _note(refund: Refund, trouble: str) -> None:
    Refund.objects.using(durable.alias()).filter(pk=refund.pk).update(error_detail=trouble)


@durable.write
def _let_go(refund: Refund) -> None:
    now = timezone.now()
    pause = LOOK_AT_UNCLEAR_EVERY if refund.state == State.UNCLEAR else LOOK_EVERY
    Refund.objects.using(durable.alias()).filter(pk=refund.pk).update(
        held_until=now, due_at=now + pause
    )
