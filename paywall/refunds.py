"""Money that goes back: the only writer of `Refund.state`.

    requested -> sent -> confirmed | failed
    requested -> failed      (called off before anything was sent)

How much of a payment is refunded, or about to be, stands on the payment and is changed by
compare-and-swap: who asks says what stood there when they looked. So two people who click at
once make one refund, and never more goes back than came in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from paywall import conf, database, faults, ledger, nodes, outbox, settlement, signals
from paywall.evm import transactions, transfers
from paywall.evm.addresses import is_transaction_hash
from paywall.evm.rpc import NodeError, Reverted
from paywall.exceptions import PaywallError, StaleMove
from paywall.models import Payment, Refund, Transaction
from paywall.models.payments import State as PaymentState
from paywall.steps import query

if TYPE_CHECKING:
    from paywall.evm.rpc import Node
    from paywall.steps import Steps

log = logging.getLogger(__name__)

State = Refund.State

GAS = 150_000
HOLD = timedelta(seconds=60)
LOOK_EVERY = timedelta(seconds=5)

on_request: list[Callable[[], None]] = []
"""Called once a refund is committed; the tasks put a message to the worker here."""


class RefundRefused(PaywallError):
    """It cannot be refunded so; the message is for whoever asked."""


def remaining(payment: Payment) -> int:
    """What of a payment can still go back, in atomic units."""
    return int(payment.amount) - int(payment.refunded)


def request(
    payment: Payment,
    amount: int,
    reason: str,
    *,
    by: Any = None,
    seen: int,
    revoke_pass: bool = False,
    sent_in: str = "",
) -> Refund:
    """Ask for `amount` (atomic units) of a payment to go back to its payer.

    `seen` is what was refunded of it when the one who asks looked. The site sends it from the
    treasury key; or the owner sent it already, and names the transaction in `sent_in`, which is
    then looked up on the chain. Raises `RefundRefused`.
    """
    sent_in = sent_in.strip().lower()
    if amount <= 0:
        raise RefundRefused("The amount of a refund is more than zero.")
    if payment.state != PaymentState.CONFIRMED:
        raise RefundRefused("Only a confirmed payment can be refunded: others are not final.")
    if nodes.of(payment.network) is None:
        raise RefundRefused("Without a node for its network a refund cannot be confirmed.")
    if sent_in and not is_transaction_hash(sent_in):
        raise RefundRefused("A transaction is named by 0x and 64 hex digits.")
    if not sent_in and not conf.get().treasury_key:
        raise RefundRefused(
            "The site has no PAYWALL['TREASURY_KEY'] to refund from: send it from your own "
            "wallet and name the transaction."
        )
    return _request(payment, amount, reason, by, seen, revoke_pass, sent_in)


@database.durable
def _request(
    payment: Payment,
    amount: int,
    reason: str,
    by: Any,
    seen: int,
    revoke_pass: bool,
    sent_in: str,
) -> Refund:
    using = database.alias()
    if seen + amount > int(payment.amount):
        raise RefundRefused("More would go back than came in.")
    if sent_in and Refund.objects.using(using).filter(tx_hash=sent_in).exists():
        raise RefundRefused("That transaction is recorded for another refund.")
    rows = Payment.objects.using(using).filter(pk=payment.pk, state=PaymentState.CONFIRMED)
    if not rows.filter(refunded=str(seen)).update(refunded=str(seen + amount)):
        raise RefundRefused("Somebody else has just refunded this payment: look again.")
    payment.refunded = str(seen + amount)
    refund = Refund(
        payment=payment,
        amount=str(amount),
        reason=reason,
        by=by,
        is_ours_to_send=not sent_in,
        tx_hash=sent_in,
        state=State.SENT if sent_in else State.REQUESTED,
    )
    refund.save(using=using, force_insert=True)
    ledger.note(payment, "refund requested", refund=refund.pk, amount=str(amount), why=reason)
    if revoke_pass:
        ledger.revoke_pass(payment)
    log.info("payment=%s refund=%s of %s units requested", payment.pk, refund.pk, amount)
    for tell in on_request:
        transaction.on_commit(tell, using=using, robust=True)
    return refund


@database.durable
def call_off(refund: Refund) -> None:
    """Take a request back before anything was sent. Raises `RefundRefused`."""
    rows = Refund.objects.using(database.alias()).filter(pk=refund.pk, state=State.REQUESTED)
    if not rows.update(state=State.FAILED, error_detail="called off", closed_at=timezone.now()):
        raise RefundRefused("It is sent already, or closed.")
    _give_back(refund)


def due() -> list[Refund]:
    """Those that have to be sent or looked up now, on which nobody works."""
    now = timezone.now()
    rows = Refund.objects.using(database.alias()).filter(
        state__in=[State.REQUESTED, State.SENT], due_at__lte=now, held_until__lte=now
    )
    return list(rows.select_related("payment").order_by("due_at")[:100])


@database.durable
def take_up(refund: Refund) -> bool:
    """Hold a refund for a minute; False if somebody was quicker."""
    now = timezone.now()
    rows = Refund.objects.using(database.alias()).filter(pk=refund.pk, held_until__lte=now)
    return bool(rows.update(held_until=now + HOLD))


def see_to(refund: Refund) -> Steps[None]:
    """Send a refund, or look for it on the chain. The caller holds it."""
    faults.reach("refund: taken up")
    try:
        if refund.state == State.REQUESTED:
            yield from _send(refund)
        elif refund.state == State.SENT:
            yield from _look(refund)
    except (NodeError, outbox.NotSent) as error:
        yield from query(_note, refund, str(error))
        log.warning("refund=%s waits: %s", refund.pk, error)
    yield from query(_let_go, refund)


def _send(refund: Refund) -> Steps[None]:
    payment, key = refund.payment, conf.get().treasury_key
    node = nodes.of(payment.network)
    if node is None or not key:
        raise outbox.NotSent("there is no node" if node is None else "there is no treasury key")
    data = transactions.transfer(payment.payer, int(refund.amount))
    token = payment.taken_offer.asset
    try:
        yield from node.eth_call(token, data, transactions.wallet(key).address)
    except Reverted as reverted:
        raise outbox.NotSent(f"the token refuses: {reverted}") from reverted

    def mark(sent: Transaction) -> None:
        """In the transaction that writes it: of two workers, one's is rolled back."""
        rows = Refund.objects.using(database.alias()).filter(pk=refund.pk, state=State.REQUESTED)
        if not rows.update(state=State.SENT, tx_hash=sent.hash, error_detail=""):
            raise StaleMove(f"refund={refund.pk} was sent or called off meanwhile")
        refund.state, refund.tx_hash = State.SENT, sent.hash

    try:
        sent = yield from outbox.write(
            key, payment.network, token, data, GAS, [refund.identity], also=mark
        )
    except StaleMove as error:
        log.warning("%s", error)
        return
    faults.reach("refund: written")
    yield from outbox.send(sent)
    faults.reach("refund: sent")
    log.info("payment=%s refund=%s sent in %s", payment.pk, refund.pk, sent.hash)


def _look(refund: Refund) -> Steps[None]:
    """Is it on the chain, deep enough? Raises `NodeError`."""
    payment = refund.payment
    node = nodes.of(payment.network)
    if node is None:
        raise NodeError("there is no node")
    if refund.is_ours_to_send:
        # A replacement, for more gas, has another hash.
        carrier = yield from query(outbox.carrying, refund.identity)
        receipt = None if carrier is None else (yield from outbox.find_receipt(carrier))
    else:
        receipt = yield from node.receipt(refund.tx_hash)
    if receipt is None:
        return
    head = yield from node.block("latest")
    if head.number - receipt.block_number + 1 < (yield from _depth(payment, node)):
        return
    offer = payment.taken_offer
    if transfers.moves(receipt, offer.asset, payment.payer, int(refund.amount)):
        yield from query(_confirmed, refund, receipt.transaction)
        faults.reach("refund: confirmed")
    else:
        yield from query(_failed, refund, "its transaction does not move that money to the payer")


def _depth(payment: Payment, node: Node) -> Steps[int]:
    account = yield from query(ledger.account, payment)
    return (yield from settlement.depth(account, node))


@database.durable
def _confirmed(refund: Refund, tx_hash: str) -> None:
    now = timezone.now()
    rows = Refund.objects.using(database.alias()).filter(pk=refund.pk, state=State.SENT)
    if not rows.update(state=State.CONFIRMED, tx_hash=tx_hash, closed_at=now, error_detail=""):
        return
    refund.state, refund.tx_hash, refund.closed_at = State.CONFIRMED, tx_hash, now
    ledger.note(refund.payment, "refunded", refund=refund.pk, amount=refund.amount, tx=tx_hash)
    log.info("payment=%s refund=%s confirmed", refund.payment_id, refund.pk)
    transaction.on_commit(
        lambda: signals.tell(signals.payment_refunded, refund.payment, refund=refund),
        using=database.alias(),
        robust=True,
    )


@database.durable
def _failed(refund: Refund, why: str) -> None:
    rows = Refund.objects.using(database.alias()).filter(pk=refund.pk, state=State.SENT)
    if not rows.update(state=State.FAILED, error_detail=why, closed_at=timezone.now()):
        return
    refund.state = State.FAILED
    log.error("payment=%s refund=%s failed: %s", refund.payment_id, refund.pk, why)
    _give_back(refund)


def _give_back(refund: Refund) -> None:
    """What will not be refunded can be refunded again. In the transaction that closes it."""
    rows = Payment.objects.using(database.alias()).select_for_update()
    payment = rows.get(pk=refund.payment_id)
    payment.refunded = str(int(payment.refunded) - int(refund.amount))
    payment.save(using=database.alias(), update_fields=["refunded"])
    ledger.note(payment, "refund failed", refund=refund.pk, amount=refund.amount)


@database.durable
def _note(refund: Refund, trouble: str) -> None:
    Refund.objects.using(database.alias()).filter(pk=refund.pk).update(error_detail=trouble)


@database.durable
def _let_go(refund: Refund) -> None:
    now = timezone.now()
    Refund.objects.using(database.alias()).filter(pk=refund.pk).update(
        held_until=now, due_at=now + LOOK_EVERY
    )
