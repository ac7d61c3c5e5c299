"""Refunds in tokens: sent from the treasury, or by the owner, and looked up on the chain."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from paywall import conf, crashpoints, ledger, pseudonyms
from paywall.effects import query
from paywall.rails.base import Seen, Unacceptable

from . import nodes, own_transactions, transactions, transfers
from .addresses import checksum, is_transaction_hash
from .finding import depth
from .gas import NotSent
from .rpc import NodeError, Reverted
from .terms import of as terms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from paywall.effects import Steps
    from paywall.models import Payment, Refund, Transaction

    from .rpc import Node, TransactionReceipt

log = logging.getLogger(__name__)

GAS = 150_000

UNCLEAR_AFTER = timedelta(hours=1)
"""After which a refund whose transaction no node has is for a person to look at."""


def sends() -> bool:
    """Whether the site can send them itself."""
    return bool(conf.get().treasury_key)


def check(payment: Payment, sent_in: str, sender: str) -> tuple[str, str]:
    """The transaction and the wallet in one spelling, of a refund that was sent already. Raises
    `Unacceptable`."""
    sent_in, sender = sent_in.strip().lower(), sender.strip()
    if payment.payer is None:
        raise Unacceptable("payment", "The wallet that paid is not known: there is none to refund.")
    if pseudonyms.is_one(payment.payer):
        text = (
            "The wallet that paid was forgotten, as your retention has it: there is none to refund."
        )
        raise Unacceptable("payment", text)
    if sender:
        try:
            sender = checksum(sender)
        except ValueError as error:
            text = "The wallet it was sent from is 0x and 40 hex digits."
            raise Unacceptable("sender", text) from error
    if nodes.of(payment.network) is None:
        text = "Without a node for its network a refund cannot be confirmed."
        raise Unacceptable("payment", text)
    if sent_in and not is_transaction_hash(sent_in):
        raise Unacceptable("sent_in", "A transaction is named by 0x and 64 hex digits.")
    if not sent_in and not sends():
        raise Unacceptable(
            "sent_in",
            "The site has no PAYWALL['TREASURY_KEY'] to refund from: send it from your own "
            "wallet and name the transaction.",
        )
    return sent_in, sender


def send(refund: Refund, mark: Callable[[str], None]) -> Steps[None]:
    """Send it. Raises `NodeError`, `NotSent`, and what `mark` raises."""
    payment, key = refund.payment, conf.get().treasury_key
    node = nodes.of(payment.network)
    if node is None or not key:
        raise NotSent("there is no node" if node is None else "there is no treasury key")
    data = transactions.transfer(str(payment.payer), int(refund.amount))
    token = payment.taken_offer.terms["asset"]
    try:
        yield from node.eth_call(token, data, transactions.wallet(key).address)
    except Reverted as reverted:
        raise NotSent(f"the token refuses: {reverted}") from reverted

    def also(sent: Transaction) -> None:
        """In the transaction that writes it: of two workers, one's is rolled back."""
        mark(sent.hash)

    sent = yield from own_transactions.write(
        key, payment.network, token, data, GAS, [refund.identity], also=also
    )
    crashpoints.reach("refund: written")
    yield from own_transactions.send(sent)
    crashpoints.reach("refund: sent")
    log.info("payment=%s refund=%s sent in %s", payment.pk, refund.pk, sent.hash)


def look(refund: Refund) -> Steps[Seen]:
    """Is it on the chain, deep enough? Raises `NodeError`.

    One node that shows it is believed. That it is there and does not refund, enough nodes must
    say; that nobody has it, time and a person.
    """
    payment = refund.payment
    node = nodes.require(payment.network)
    hashes = yield from query(_hashes, refund)
    if not hashes:
        text = "its transaction was dropped: something else used its nonce"
        return Seen(None, why=text, hopeless=True)
    head = yield from node.block("latest")
    account = yield from query(ledger.account, payment)
    deep = yield from depth(terms_of(account), node)
    said: list[bool | None] = []
    for single in node.each():
        try:
            receipt = yield from _receipt(single, hashes)
        except NodeError:
            continue
        if receipt is None or head.number - receipt.block_number + 1 < deep:
            said.append(None)
        elif proves(refund, receipt):
            return Seen(True, receipt.transaction)
        else:
            said.append(False)
    if not said:
        raise NodeError("no node answers")
    if said.count(False) >= min(conf.get().rpc_quorum, len(node.urls)):
        return Seen(False, why="its transaction does not move that money to the payer")
    if set(said) == {None} and timezone.now() - refund.created_at > UNCLEAR_AFTER:
        return Seen(None, why="no node has its transaction", hopeless=True)
    return Seen(None)


def _hashes(refund: Refund) -> list[str]:
    """What its transaction may be known by; none if it was dropped."""
    if not refund.is_ours_to_send:
        return [refund.reference]
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
    asset = payment.taken_offer.terms["asset"]
    # One that was forgotten has been proven before.
    payer = None if pseudonyms.is_one(payment.payer) else str(payment.payer)
    after = payment.position is None or receipt.block_number > payment.position
    return after and transfers.moves(receipt, asset, payer, int(refund.amount), senders(refund))


def senders(refund: Refund) -> set[str]:
    """The wallets that a refund may come from."""
    ours = {refund.payment.taken_offer.terms["payTo"], refund.sender} - {""}
    key = conf.get().treasury_key
    return ours | ({transactions.wallet(key).address} if key else set())
