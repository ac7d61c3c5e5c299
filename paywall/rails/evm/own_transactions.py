"""Transactions of our own wallets: written, sent, watched, replaced.

A transaction is written before it is sent, with its nonce and all that it takes to sign it
again. So a crash loses nothing: whoever finds it sends the same bytes once more. The wallet's
row in the database is the lock on its nonces, for any number of workers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from paywall import conf, durable
from paywall.effects import query, wait
from paywall.logs import plain
from paywall.models import Carriage, Transaction, Wallet
from paywall.rails.evm import cursors, networks, nodes, transactions
from paywall.rails.evm.gas import NotSent, ceiling, fees_now, key_of, require_gas
from paywall.rails.evm.rpc import Node, NodeError
from paywall.rails.evm.transactions import Draft, Fees

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from paywall.effects import Steps
    from paywall.rails.evm.rpc import TransactionReceipt
    from paywall.secret import Secret

log = logging.getLogger(__name__)

State = Transaction.State

SEND_AGAIN_AFTER = timedelta(seconds=10)

_IS_THERE = ("already known", "already imported", "known transaction")


class AlreadyCarried(Exception):
    """Somebody else has just written a transaction that carries the same."""


def write(
    key: Secret,
    network: str,
    to: str,
    data: str,
    gas: int,
    identities: Iterable[str],
    also: Callable[[Transaction], None] | None = None,
    newest: int | None = None,
) -> Steps[Transaction]:
    """Write a transaction that carries the identities; `send` is the next thing to do.

    `also` is called with it in the database transaction that writes it. With `newest`, the
    key of the newest one that carries the same as far as the caller knows (0: none), this raises
    `AlreadyCarried` if there is a newer one: the wallet's row is the lock. Raises `NotSent`, and
    what `also` raises.
    """
    identities = list(identities)
    node = nodes.of(network)
    if node is None:
        raise NotSent(f"PAYWALL['RPC_URLS'] has no {network}")
    address = transactions.wallet(key).address
    try:
        fees = yield from fees_now(node)
        yield from require_gas(node, network, address, gas * fees.most)
        on_chain = yield from node.transaction_count(address)
    except NodeError as error:
        raise NotSent(str(error)) from error

    @durable.write
    def insert() -> Transaction:
        wallet = _next_nonce(network, address, on_chain)
        if newest is not None:
            carriages = Carriage.objects.using(durable.alias()).filter(identity__in=identities)
            newer = carriages.filter(transaction__gt=newest)
            if newer.exclude(transaction__state=State.DROPPED).exists():
                raise AlreadyCarried
        draft = Draft(networks.chain_id(network), wallet.next_nonce - 1, to, data, gas, fees)
        now = timezone.now()
        transaction = Transaction(
            wallet=wallet,
            nonce=draft.nonce,
            to=to,
            data=data,
            gas=gas,
            max_fee=fees.most,
            tip=fees.tip,
            hash=transactions.sign(draft, key).hash,
            created_at=now,
            signed_at=now,
        )
        using = durable.alias()
        transaction.save(using=using, force_insert=True)
        Carriage.objects.using(using).bulk_create(
            Carriage(transaction=transaction, identity=identity) for identity in identities
        )
        if also is not None:
            also(transaction)
        return transaction

    return (yield from query(insert))


def send(transaction: Transaction) -> Steps[None]:
    """Hand a written transaction to the network. Once more does no harm; never raises."""
    node, key = nodes.of(transaction.wallet.network), key_of(transaction.wallet)
    if node is None or key is None:
        trouble = "there is no node" if node is None else "its key is not in the settings"
    else:
        try:
            yield from node.send_raw(transactions.sign(_draft(transaction), key).raw)
            trouble = ""
        except NodeError as error:
            trouble = "" if any(known in str(error).lower() for known in _IS_THERE) else str(error)
    if trouble:
        log.warning("transaction=%s was not sent: %s", transaction.hash, trouble)
    yield from query(_note_sent, transaction, trouble)


def wait_for(transaction: Transaction, seconds: float) -> Steps[TransactionReceipt | None]:
    """Its receipt once a block has it, or None after so many seconds."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while True:
        try:
            receipt = yield from find_receipt(transaction)
        except NodeError:
            receipt = None
        if receipt is not None:
            return receipt
        if time.monotonic() + pause > deadline:
            return None
        yield from wait(pause)
        pause = min(1.0, pause * 1.6)


def find_receipt(transaction: Transaction) -> Steps[TransactionReceipt | None]:
    """The receipt of whichever of its hashes is on the chain, noted. Raises `NodeError`."""
    node = nodes.require(transaction.wallet.network)
    for hash_ in transaction.hashes:
        receipt = yield from node.receipt(hash_)
        if receipt is not None:
            yield from query(_note_mined, transaction, receipt)
            return receipt
    return None


def tend(transaction: Transaction) -> Steps[TransactionReceipt | None]:
    """Look after a signed transaction: its receipt if it has one by now.

    Otherwise it is sent again, or replaced by one with higher fees when no block took it for
    long; or given up where another used its nonce for good. Raises `NodeError`.
    """
    receipt = yield from find_receipt(transaction)
    if receipt is not None:
        return receipt
    node = nodes.of(transaction.wallet.network)
    assert node is not None
    used = yield from node.transaction_count(transaction.wallet.address, "latest")
    if used > transaction.nonce:
        # Mined between the two questions, or somebody else uses this key.
        receipt = yield from find_receipt(transaction)
        if receipt is None and (yield from _is_used_for_good(node, transaction)):
            yield from query(_drop, transaction)
        return receipt
    if used < transaction.nonce:
        # An earlier one is missing; if it had been mined, a reorganisation took it.
        yield from query(_reopen, transaction.wallet, used)
    now = timezone.now()
    if now - transaction.signed_at > timedelta(seconds=conf.get().replace_after):
        yield from _raise_fees(transaction, node)
        yield from send(transaction)
    elif transaction.sent_at is None or now - transaction.sent_at > SEND_AGAIN_AFTER:
        yield from send(transaction)
    return None


def unfinished() -> list[Transaction]:
    """Those that no block has yet, in the order of their nonces."""
    return list(
        Transaction.objects.using(durable.alias())
        .filter(state=State.SIGNED)
        .select_related("wallet")
        .order_by("wallet", "nonce")
    )


def carrying(identity: str) -> Transaction | None:
    """The newest transaction that carries this, unless it was dropped."""
    return (
        Transaction.objects.using(durable.alias())
        .filter(carries__identity=identity)
        .exclude(state=State.DROPPED)
        .select_related("wallet")
        .order_by("-pk")
        .first()
    )


def forget(identities: Sequence[str], what: Collection[str]) -> None:
    """Payments that were carried are to be forgotten: what was signed for them ("payloads"), and
    which they were ("wallets")."""
    carried = Carriage.objects.using(durable.alias()).filter(identity__in=identities)
    keys = list(carried.values_list("transaction", flat=True).distinct())
    rows = Transaction.objects.using(durable.alias()).filter(pk__in=keys)
    rows.exclude(state=State.SIGNED).update(data="")
    if "wallets" in what:
        carried.delete()


@durable.write
def forget_blocks(network: str, since: int) -> None:
    """A reorganisation took the blocks from `since` on: what was in them is looked for again."""
    rows = Transaction.objects.using(durable.alias()).filter(wallet__network=network)
    _back_to_signed(rows.filter(block_number__gte=since))


@durable.write
def reopen(transaction: Transaction) -> None:
    """The block that had it is gone."""
    _back_to_signed(Transaction.objects.using(durable.alias()).filter(pk=transaction.pk))
    transaction.refresh_from_db(using=durable.alias())


@durable.write
def _reopen(wallet: Wallet, nonce: int) -> None:
    rows = Transaction.objects.using(durable.alias()).filter(wallet=wallet)
    _back_to_signed(rows.filter(nonce__gte=nonce))


def _back_to_signed(rows: QuerySet[Transaction]) -> None:
    rows.filter(state=State.MINED).update(
        state=State.SIGNED, block_number=None, sent_at=None, signed_at=timezone.now()
    )


def _next_nonce(network: str, address: str, on_chain: int) -> Wallet:
    """Take a wallet's next nonce; its row is locked until the transaction commits."""
    wallets = Wallet.objects.using(durable.alias())
    wallets.bulk_create([Wallet(network=network, address=address)], ignore_conflicts=True)
    mine = wallets.filter(network=network, address=address)
    mine.update(next_nonce=Greatest(F("next_nonce"), on_chain) + 1)
    return mine.get()


@durable.write
def _note_sent(transaction: Transaction, trouble: str) -> None:
    sent_at = transaction.sent_at if trouble else timezone.now()
    durable.set_fields(transaction, trouble=plain(trouble), sent_at=sent_at)
    transaction.save(using=durable.alias(), update_fields=["sent_at", "trouble"])


@durable.write
def _note_mined(transaction: Transaction, receipt: TransactionReceipt) -> None:
    rows = Transaction.objects.using(durable.alias())
    # Another worker may have replaced it meanwhile: its hashes are read here, and none is lost.
    row = rows.select_for_update().get(pk=transaction.pk)
    changes = {
        "hash": receipt.transaction,
        "earlier_hashes": [h for h in row.hashes if h != receipt.transaction],
        "state": State.MINED,
        "succeeded": receipt.succeeded,
        "block_number": receipt.block_number,
        "gas_used": receipt.gas_used,
        "gas_price": receipt.gas_price,
    }
    rows.filter(pk=transaction.pk).update(**changes)
    durable.set_fields(transaction, **changes)


@durable.write
def _drop(transaction: Transaction) -> None:
    rows = Transaction.objects.using(durable.alias()).filter(pk=transaction.pk)
    if not rows.filter(state=State.SIGNED).update(state=State.DROPPED):
        return
    log.error(
        "transaction=%s is dropped: its nonce was used by something else that has the key",
        transaction.hash,
    )
    durable.set_fields(transaction, state=State.DROPPED)


def _is_used_for_good(node: Node, transaction: Transaction) -> Steps[bool]:
    """Whether every node says that the nonce was used in a block that stays, and none has the
    transaction.

    A younger block may go: then the nonce is free again, and whatever was sent after it waits for
    this transaction.
    """
    wallet = transaction.wallet
    depths = yield from query(_depths, wallet.network)
    for single in node.each():
        head = yield from single.block("latest")
        for depth in depths:
            block = yield from cursors.last_final(depth, single, head)
            if block is None:
                return False
            used = yield from single.transaction_count(wallet.address, hex(block))
            if used <= transaction.nonce:
                return False
        for hash_ in transaction.hashes:
            if (yield from single.receipt(hash_)) is not None:
                return False
    return True


def _depths(network: str) -> set[str]:
    """How deep a block of the network is before accounts trust that it stays."""
    depths = {group.depth for group in cursors.groups() if group.network == network}
    return depths or {cursors.FINALIZED}


def _raise_fees(transaction: Transaction, node: Node) -> Steps[None]:
    """Sign it again for more, with the same nonce: one of the two gets into a block."""
    key = key_of(transaction.wallet)
    try:
        now = yield from fees_now(node)
    except NotSent as error:
        log.warning("transaction=%s waits: %s", transaction.hash, error)
        return
    raised = Fees(transaction.max_fee, transaction.tip).raised(now, ceiling())
    if key is None or raised is None:
        log.warning("transaction=%s waits: it cannot offer more", transaction.hash)
        return
    yield from query(_replace, transaction, raised, key)


@durable.write
def _replace(transaction: Transaction, fees: Fees, key: Secret) -> None:
    """Written before it is sent, and only if nobody else did so meanwhile."""
    rows = Transaction.objects.using(durable.alias())
    row = rows.select_for_update().select_related("wallet").get(pk=transaction.pk)
    if row.state == State.SIGNED and row.hash == transaction.hash:
        row.max_fee, row.tip = fees.most, fees.tip
        changes = {
            "max_fee": fees.most,
            "tip": fees.tip,
            "hash": transactions.sign(_draft(row), key).hash,
            "earlier_hashes": row.hashes,
            "signed_at": timezone.now(),
        }
        if rows.filter(pk=row.pk, hash=row.hash, state=State.SIGNED).update(**changes):
            log.warning("transaction=%s replaces %s: no block took that", changes["hash"], row.hash)
            durable.set_fields(transaction, **changes)
            return
    fields = ("max_fee", "tip", "hash", "earlier_hashes", "signed_at", "state")
    durable.set_fields(transaction, **{name: getattr(row, name) for name in fields})


def _draft(transaction: Transaction) -> Draft:
    return Draft(
        networks.chain_id(transaction.wallet.network),
        transaction.nonce,
        transaction.to,
        transaction.data,
        transaction.gas,
        Fees(transaction.max_fee, transaction.tip),
    )
