"""Confirming by reading the chain in ranges: the cost grows with blocks, not with payments.

Accounts of one token that want the same depth share a cursor: up to where their logs have been
read, and the hash of that block. Where that hash has changed, the chain was reorganised, and what
it took back is looked at payment by payment.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Min, Q
from django.utils import timezone

from paywall import conf, crashpoints, durable, ledger, settlement
from paywall.effects import query, run
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.models import Account, Cursor, Payment
from paywall.models.payments import State

from . import exact, networks, nodes, own_transactions, transfers
from .evidence import proof
from .rpc import NodeError
from .terms import of as terms_of

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models.payments import PaymentQuerySet
    from paywall.vocabulary import Paid

    from .rpc import Block, Node
    from .transfers import Transfer

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
"""For which one worker reads for a cursor. If it takes longer and two do, no harm is done."""

EARLIER = timedelta(minutes=15)
"""How long before its claim an authorization may have been used."""

STUCK_AFTER = timedelta(minutes=10)
"""After which a cursor that is beyond the chain was a lie, or the chain is another."""

OVERLOOKED_AFTER = timedelta(minutes=1)
"""A payment settled so long before the last block that was read should have been found there."""

WAITED_FOR = timedelta(minutes=15)
"""After which a settled payment is looked up by itself, whatever the chain's clock says."""

AT_ONCE = 500
"""Payments that are confirmed in one database transaction."""


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts of one token that want the same depth."""

    network: str
    asset: str
    depth: str
    accounts: tuple[Account, ...]

    @property
    def recipients(self) -> list[str]:
        return sorted({account.terms["pay_to"] for account in self.accounts})

    def payments(self) -> PaymentQuerySet:
        return Payment.objects.using(durable.alias()).filter(account__in=self.accounts)

    def cursor(self) -> Cursor | None:
        cursors = Cursor.objects.using(durable.alias())
        key = {"network": self.network, "asset": self.asset, "depth": self.depth}
        return cursors.filter(**key).first()


def groups() -> list[Group]:
    """All that can be read: accounts, also disabled ones, on networks with a node."""
    networks_read = [name for name in conf.get().rpc_urls if conf.get().rpc_nodes(name)]
    found: dict[tuple[str, str, str], list[Account]] = defaultdict(list)
    accounts = Account.objects.using(durable.alias()).filter(rail="evm", network__in=networks_read)
    for account in accounts.order_by("pk"):
        terms = terms_of(account)
        depth = "finalized" if terms.finalized else str(terms.confirmations)
        found[account.network, terms.asset, depth].append(account)
    return [Group(*key, tuple(members)) for key, members in found.items()]


def scan(group: Group) -> Steps[Counter[str]]:
    """Read on from the cursor, and confirm what is found. Returns how many were.

    Raises `NodeError`: then the cursor stands where all before it is done.
    """
    counts: Counter[str] = Counter()
    node = nodes.of(group.network)
    if node is None:
        return counts
    if (yield from node.chain_id()) != networks.chain_id(group.network):
        raise NodeError(f"the node is not on {group.network}")
    head = yield from node.block("latest")
    last = yield from last_final(group, node, head)
    if last is None:
        return counts
    cursor = yield from _take(group, node, last)
    if cursor is None:
        return counts
    try:
        if head.number < cursor.block_number:
            yield from _wait_for(cursor, node, head)
        counts += yield from _undo_reorganisation(group, cursor, node)
        yield from _read_on(group, cursor, node, last, counts)
        yield from query(_note_read, cursor)
    finally:
        yield from query(_release, cursor)
    return counts


def watch() -> Counter[str]:
    """Read all chains on for settled payments. Returns how many came to which state."""
    counts: Counter[str] = Counter()
    for group in groups():
        try:
            counts += run(scan(group))
        except (NodeError, LedgerUnavailable, StaleMove) as error:
            log.warning("%s cannot be read: %s", group.network, error)
        except Exception:
            log.exception("%s could not be read", group.network)
    return counts


def overlooked() -> Q:
    """Settled payments that reading by range does not find, or should have found by now."""
    chosen = Q(pk__in=[])
    for group in groups():
        ours = Q(account__in=group.accounts)
        chosen |= ours & ~Q(identity__startswith=exact.FOUND_IN_LOGS)
        cursor = group.cursor()
        if cursor is not None:
            late = max(cursor.block_time - OVERLOOKED_AFTER, timezone.now() - WAITED_FOR)
            # Seen while it could not be moved yet; or not seen where it should have been.
            seen = Q(position__lte=cursor.block_number)
            chosen |= ours & (seen | Q(settled_at__lt=late))
    return chosen & Q(state=State.SETTLED)


def is_watched() -> Q:
    """Payments on chains that are read."""
    return Q(account__in=[account for group in groups() for account in group.accounts])


def unread_since() -> datetime | None:
    """Since when a chain has not been read on which something waits; None if none does."""
    since = []
    for group in groups():
        settled = group.payments().open().filter(state=State.SETTLED)
        first = settled.aggregate(at=Min("settled_at"))["at"]
        if first is not None:
            cursor = group.cursor()
            since.append(max(first, cursor.read_at) if cursor else first)
    return min(since, default=None)


def last_final(group: Group, node: Node, head: Block) -> Steps[int | None]:
    """The newest block that will stay, as the group sees it; None while there is none."""
    if group.depth == "finalized":
        return (yield from node.block("finalized")).number
    number = head.number - int(group.depth) + 1
    return number if number >= 0 else None


def _take(group: Group, node: Node, last: int) -> Steps[Cursor | None]:
    """The group's cursor, held; None if somebody else reads."""
    cursor = yield from query(group.cursor)
    if cursor is None:
        since = yield from query(_first_open, group)
        start = last
        if since is not None:
            start = yield from block_before(node, (since - EARLIER).timestamp(), last)
        block = yield from node.block(start)
        cursor = yield from query(_make, group, block)
    return (yield from query(_hold, cursor))


def _first_open(group: Group) -> datetime | None:
    unfinished = group.payments().open().filter(state__in=[State.SETTLING, State.SETTLED])
    first: datetime | None = unfinished.aggregate(at=Min("created_at"))["at"]
    return first


@durable.write
def _make(group: Group, block: Block) -> Cursor:
    cursor, _ = Cursor.objects.using(durable.alias()).get_or_create(
        network=group.network,
        asset=group.asset,
        depth=group.depth,
        defaults={
            "block_number": block.number,
            "block_hash": block.hash,
            "block_time": _time(block),
        },
    )
    return cursor


@durable.write
def _hold(cursor: Cursor) -> Cursor | None:
    now = timezone.now()
    rows = Cursor.objects.using(durable.alias()).filter(pk=cursor.pk)
    if not rows.filter(held_until__lte=now).update(held_until=now + LEASE):
        return None
    return rows.get()


@durable.write
def _release(cursor: Cursor) -> None:
    rows = Cursor.objects.using(durable.alias()).filter(pk=cursor.pk)
    rows.update(held_until=timezone.now())


@durable.write
def _note_read(cursor: Cursor) -> None:
    rows = Cursor.objects.using(durable.alias()).filter(pk=cursor.pk)
    rows.update(read_at=timezone.now())


@durable.write
def _advance(cursor: Cursor, block: Block) -> None:
    """Only from where this worker thinks that it stands. Raises `StaleMove`."""
    now = timezone.now()
    changes = {
        "block_number": block.number,
        "block_hash": block.hash,
        "block_time": _time(block),
        "read_at": now,
        "held_until": now + LEASE,
    }
    rows = Cursor.objects.using(durable.alias()).filter(
        pk=cursor.pk, block_number=cursor.block_number, block_hash=cursor.block_hash
    )
    if not rows.update(**changes):
        raise StaleMove(f"the cursor of {cursor.network} was moved by another worker")
    durable.set_fields(cursor, **changes)


def _wait_for(cursor: Cursor, node: Node, head: Block) -> Steps[None]:
    """The node is behind what was read: raise `NodeError`, but not for ever."""
    if timezone.now() - cursor.read_at < STUCK_AFTER:
        raise NodeError(f"it is at block {head.number}, behind {cursor.block_number}")
    back = max(0, head.number - conf.get().rescan_blocks)
    log.error("The cursor at block %d is beyond the chain: back to %d", cursor.block_number, back)
    yield from query(_advance, cursor, (yield from node.block(back)))


def _read_on(
    group: Group, cursor: Cursor, node: Node, last: int, counts: Counter[str]
) -> Steps[None]:
    while cursor.block_number < last:
        first = cursor.block_number + 1
        end = yield from node.block(min(last, cursor.block_number + conf.get().log_range))
        if (yield from query(_is_anything_open, group)):
            found = yield from transfers.incoming(
                node, group.asset, group.recipients, first, end.number
            )
            crashpoints.reach("confirm: read")
            if (yield from node.block(end.number)).hash != end.hash:
                raise NodeError("the chain was reorganised while it was read")
            counts["confirmed"] += yield from query(_confirm, group, found)
            crashpoints.reach("confirm: written")
        yield from query(_advance, cursor, end)


def _is_anything_open(group: Group) -> bool:
    open_ones = group.payments().open()
    return open_ones.filter(state__in=[State.SETTLING, State.SETTLED]).exists()


def _confirm(group: Group, found: Sequence[Transfer]) -> int:
    """Confirm the payments that the transfers are. Returns how many moved."""
    by_identity = {exact.identify(group.network, transfer): transfer for transfer in found}
    by_identity.pop(None, None)
    confirmed, identities = 0, list(by_identity)
    for start in range(0, len(identities), AT_ONCE):
        chunk = identities[start : start + AT_ONCE]
        payments = group.payments().filter(identity__in=chunk)
        open_ones = payments.filter(state__in=[State.CLAIMED, State.SETTLING, State.SETTLED])
        pairs = [(payment, by_identity[payment.identity]) for payment in open_ones]
        confirmed += _confirm_pairs([(p, t) for p, t in pairs if _pays(t, p)])
    return confirmed


def _pays(transfer: Transfer, payment: Payment) -> bool:
    offer = payment.taken_offer
    return (transfer.to, transfer.value) == (offer.terms["payTo"], offer.amount)


def _confirm_pairs(pairs: Sequence[tuple[Payment, Transfer]]) -> int:
    ready = [
        (payment, transfer)
        for payment, transfer in pairs
        if payment.state == State.SETTLED or _settle_found(payment, transfer)
    ]
    # Somebody works on the others: they settle soon, and are not found by reading any more.
    later = {p.pk: t.block_number for p, t in pairs if p.state != State.SETTLED}
    ledger.seen_at(later)
    transactions: dict[str, Transfer] = {}
    members: dict[str, list[Payment]] = defaultdict(list)
    for payment, transfer in ready:
        transactions[transfer.transaction] = transfer
        members[transfer.transaction].append(payment)
    evidence = [(members[hash_], _evidence(transfer)) for hash_, transfer in transactions.items()]
    try:
        ledger.confirmed(evidence)
        return len(ready)
    except StaleMove:
        return sum(map(_confirm_one, ready))


def _confirm_one(pair: tuple[Payment, Transfer]) -> bool:
    payment, transfer = pair
    try:
        ledger.confirmed([([payment], _evidence(transfer))])
    except StaleMove as error:
        log.warning("payment=%s: %s", payment.pk, error)
        return False
    return True


def _settle_found(payment: Payment, transfer: Transfer) -> bool:
    """An unknown outcome, found paid on the chain. False while somebody works on it."""
    if payment.state != State.SETTLING:
        return False
    taken = ledger.take_up(payment, settlement.settle_hold())
    if taken is None or taken.state != State.SETTLING:
        return False
    ledger.settled([taken], transfer.transaction)
    ledger.let_go(taken)
    payment.state = taken.state
    return True


def _evidence(transfer: Transfer) -> Paid:
    return proof(transfer.transaction, transfer.block_number, transfer.block_hash, final=True)


# --------------------------------------------------------------------- Reorganisations


def _undo_reorganisation(group: Group, cursor: Cursor, node: Node) -> Steps[Counter[str]]:
    """Where the block at the cursor is another than it was: look at what vanished, go back."""
    counts: Counter[str] = Counter()
    newest = yield from query(_newest_block, group, None)
    # What was looked up by itself may be in a newer block than what was read.
    beyond = newest is not None and newest.number > cursor.block_number
    is_same = (yield from node.block(cursor.block_number)).hash == cursor.block_hash
    if is_same and not (beyond and (yield from _vanished(group, node)).payments):
        return counts
    log.error("%s was reorganised at or before block %d", group.network, cursor.block_number)
    back = max(0, cursor.block_number - conf.get().rescan_blocks)
    vanished = yield from _vanished(group, node)
    back = min(back, back if vanished.kept is None else vanished.kept)
    yield from query(own_transactions.forget_blocks, group.network, back)
    for payment in vanished.payments:
        yield from settlement.confirm(payment)
        if payment.state != State.CONFIRMED:
            counts[f"back to {payment.state}"] += 1
    yield from query(_advance, cursor, (yield from node.block(back)))
    return counts


class _Vanished(NamedTuple):
    payments: list[Payment]
    """Confirmed ones, whose block is gone."""
    kept: int | None
    """The newest block with payments that is not."""


class _Paying(NamedTuple):
    """A block with confirmed payments."""

    number: int
    payments: list[Payment]


def _vanished(group: Group, node: Node) -> Steps[_Vanished]:
    """What a reorganisation took."""
    vanished: list[Payment] = []
    below: int | None = None
    while True:
        newest = yield from query(_newest_block, group, below)
        if newest is None:
            return _Vanished(vanished, None)
        try:
            hash_ = (yield from node.block(newest.number)).hash
        except NodeError:
            hash_ = ""  # the new chain is shorter
        gone = [p for p in newest.payments if p.evidence.get("block_hash") != hash_]
        if not gone:
            return _Vanished(vanished, newest.number)
        vanished += gone
        below = newest.number


def _newest_block(group: Group, below: int | None) -> _Paying | None:
    confirmed = group.payments().filter(state=State.CONFIRMED, position__isnull=False)
    if below is not None:
        confirmed = confirmed.filter(position__lt=below)
    newest = confirmed.order_by("-position").first()
    if newest is None or newest.position is None:
        return None
    return _Paying(newest.position, list(confirmed.filter(position=newest.position)))


def block_before(node: Node, timestamp: float, last: int) -> Steps[int]:
    """The newest block, up to `last`, that is not younger than that. Raises `NodeError`."""
    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        if (yield from node.block(middle)).timestamp <= timestamp:
            low = middle
        else:
            high = middle - 1
    return low


def _time(block: Block) -> datetime:
    return datetime.fromtimestamp(block.timestamp, UTC)
