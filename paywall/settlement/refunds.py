"""Money that goes back: the only writer of `Refund.state`.

    requested -> sent -> confirmed | failed
    requested -> failed      (called off before anything was sent)
    sent -> unclear          (nothing on the chain for long, or its nonce went to something else)
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
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from paywall import conf, crashpoints, durable, ledger, settlement, signals
from paywall.effects import query
from paywall.exceptions import PaywallError, StaleMove
from paywall.models import Payment, Refund, Transaction
from paywall.models.payments import State as PaymentState
from paywall.rails.evm import nodes, own_transactions, transactions, transfers
from paywall.rails.evm.addresses import checksum, is_transaction_hash
from paywall.rails.evm.rpc import NodeError, Reverted

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models.refunds import RefundQuerySet
    from paywall.rails.evm.rpc import Node, TransactionReceipt

log = logging.getLogger(__name__)

State = Refund.State

GAS = 150_000
HOLD = timedelta(seconds=60)
LOOK_EVERY = timedelta(seconds=5)
LOOK_AT_UNCLEAR_EVERY = timedelta(minutes=10)

UNCLEAR_AFTER = timedelta(hours=1)
"""After which a refund whose transaction no node has is for a person to look at."""

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
    sender: str = "",
) -> Refund:
    """Ask for `amount` (atomic units) of a payment to go back to its payer.

    `seen` is what was refunded of it when the one who asks looked. The site sends it from the
    treasury key; or the owner sent it already, and names the transaction in `sent_in`, which is
    then looked up on the chain: it counts if it came from the treasury, from the account's
    `pay_to`, or from `sender`. Raises `RefundRefused`.
    """
    sent_in, sender = sent_in.strip().lower(), sender.strip()
    if sender:
        try:
            sender = checksum(sender)
        except ValueError as error:
            raise RefundRefused("The wallet it was sent from is 0x and 40 hex digits.") from error
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
    return _request(payment, amount, reason, by, seen, revoke_pass, sent_in, sender)


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
    if seen + amount > int(payment.amount):
        raise RefundRefused("More would go back than came in.")
    recorded = Refund.objects.using(using).filter(tx_hash=sent_in)
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
        tx_hash=sent_in,
        sender=sender,
        revoked_pass=revoke_pass and ledger.revoke_pass(payment),
        state=State.SENT if sent_in else State.REQUESTED,
    )
    refund.save(using=using, force_insert=True)
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
    """Send a refund, or look for it on the chain. The caller holds it."""
    crashpoints.reach("refund: taken up")
    try:
        if refund.state == State.REQUESTED:
            yield from _send(refund)
        elif refund.state in (State.SENT, State.UNCLEAR):
            yield from _look(refund)
    except (NodeError, own_transactions.NotSent) as error:
        yield from query(_note, refund, str(error))
        log.warning("refund=%s waits: %s", refund.pk, error)
    yield from query(_let_go, refund)


def _send(refund: Refund) -> Steps[None]:
    payment, key = refund.payment, conf.get().treasury_key
    node = nodes.of(payment.network)
    if node is None or not key:
        raise own_transactions.NotSent(
            "there is no node" if node is None else "there is no treasury key"
        )
    data = transactions.transfer(payment.payer, int(refund.amount))
    token = payment.taken_offer.asset
    try:
        yield from node.eth_call(token, data, transactions.wallet(key).address)
    except Reverted as reverted:
        raise own_transactions.NotSent(f"the token refuses: {reverted}") from reverted

    def mark(sent: Transaction) -> None:
        """In the transaction that writes it: of two workers, one's is rolled back."""
        rows = Refund.objects.using(durable.alias()).filter(pk=refund.pk, state=State.REQUESTED)
        if not rows.move(State.SENT, tx_hash=sent.hash, error_detail=""):
            raise StaleMove(f"refund={refund.pk} was sent or called off meanwhile")
        durable.set_fields(refund, state=State.SENT, tx_hash=sent.hash)

    try:
        sent = yield from own_transactions.write(
            key, payment.network, token, data, GAS, [refund.identity], also=mark
        )
    except StaleMove as error:
        log.warning("%s", error)
        return
    crashpoints.reach("refund: written")
    yield from own_transactions.send(sent)
    crashpoints.reach("refund: sent")
    log.info("payment=%s refund=%s sent in %s", payment.pk, refund.pk, sent.hash)


def _look(refund: Refund) -> Steps[None]:
    """Is it on the chain, deep enough? Raises `NodeError`.

    One node that shows it is believed. That it is there and does not refund, enough nodes must
    say; that nobody has it, time and a person.
    """
    payment = refund.payment
    node = nodes.of(payment.network)
    if node is None:
        raise NodeError("there is no node")
    hashes = yield from query(_hashes, refund)
    if not hashes:
        yield from query(
            _unclear, refund, "its transaction was dropped: something else used its nonce"
        )
        return
    head = yield from node.block("latest")
    depth = yield from _depth(payment, node)
    said: list[bool | None] = []
    for single in node.each():
        try:
            receipt = yield from _receipt(single, hashes)
        except NodeError:
            continue
        if receipt is None or head.number - receipt.block_number + 1 < depth:
            said.append(None)
        elif proves(refund, receipt):
            yield from query(_confirmed, refund, receipt.transaction)
            crashpoints.reach("refund: confirmed")
            return
        else:
            said.append(False)
    if not said:
        raise NodeError("no node answers")
    if said.count(False) >= min(conf.get().rpc_quorum, len(node.urls)):
        yield from query(_failed, refund, "its transaction does not move that money to the payer")
    elif set(said) == {None} and timezone.now() - refund.created_at > UNCLEAR_AFTER:
        yield from query(_unclear, refund, "no node has its transaction")


def _hashes(refund: Refund) -> list[str]:
    """What its transaction may be known by; none if it was dropped."""
    if not refund.is_ours_to_send:
        return [refund.tx_hash]
    # A replacement, for more gas, has another hash.
    carrier = own_transactions.carrying(refund.identity)
    return carrier.hashes if carrier is not None else []


def _receipt(node: Node, hashes: list[str]) -> Steps[TransactionReceipt | None]:
    for hash_ in hashes:
        receipt = yield from node.receipt(hash_)
        if receipt is not None:
            return receipt
    return None


def proves(refund: Refund, receipt: TransactionReceipt) -> bool:
    """Whether a transaction is this refund: of that much, to the payer, from us, and younger than
    the payment."""
    payment = refund.payment
    offer = payment.taken_offer
    after = payment.block_number is None or receipt.block_number > payment.block_number
    return after and transfers.moves(
        receipt, offer.asset, payment.payer, int(refund.amount), senders(refund)
    )


def senders(refund: Refund) -> set[str]:
    """The wallets that a refund may come from."""
    ours = {refund.payment.taken_offer.pay_to, refund.sender} - {""}
    key = conf.get().treasury_key
    return ours | ({transactions.wallet(key).address} if key else set())


def _depth(payment: Payment, node: Node) -> Steps[int]:
    account = yield from query(ledger.account, payment)
    return (yield from settlement.depth(account, node))


@durable.write
def _confirmed(refund: Refund, tx_hash: str) -> None:
    now = timezone.now()
    changes = {"tx_hash": tx_hash, "closed_at": now, "error_detail": ""}
    if not _sent(refund).move(State.CONFIRMED, **changes):
        return
    durable.set_fields(refund, state=State.CONFIRMED, **changes)
    ledger.note(refund.payment, "refunded", refund=refund.pk, amount=refund.amount, tx=tx_hash)
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
