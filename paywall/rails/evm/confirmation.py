"""Confirming by reading the chain in ranges: the cost grows with blocks, not with payments.

Accounts of one token that want the same depth share a cursor: up to where their logs have been
read, and the hash of that block. Where that hash has changed, the chain was reorganised, and what
it took back is looked at payment by payment.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Min, Q
from django.utils import timezone

from paywall import conf, crashpoints, ledger, settlement
from paywall.effects import query, run
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.models import Cursor, Payment
from paywall.models.payments import State

from . import cursors, networks, nodes, reorganisations, schemes, transfers
from .cursors import Group, groups
from .evidence import proof
from .rpc import NodeError

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.vocabulary import Paid

    from .rpc import Block, Node
    from .transfers import Transfer

log = logging.getLogger(__name__)

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
    last = yield from cursors.last_final(group.depth, node, head)
    if last is None:
        return counts
    cursor = yield from _take(group, node, last)
    if cursor is None:
        return counts
    try:
        if head.number < cursor.block_number:
            yield from _wait_for(cursor, node, head)
        counts += yield from reorganisations.undo(group, cursor, node)
        yield from _read_on(group, cursor, node, last, counts)
        yield from query(cursors.note_read, cursor)
    finally:
        yield from query(cursors.release, cursor)
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
        chosen |= ours & ~Q(identity__startswith=schemes.FOUND_IN_LOGS)
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


def _take(group: Group, node: Node, last: int) -> Steps[Cursor | None]:
    """The group's cursor, held; None if somebody else reads."""
    cursor = yield from query(group.cursor)
    if cursor is None:
        since = yield from query(_first_open, group)
        start = last
        if since is not None:
            start = yield from block_before(node, (since - EARLIER).timestamp(), last)
        block = yield from node.block(start)
        cursor = yield from query(cursors.make, group, block)
    return (yield from query(cursors.hold, cursor))


def _first_open(group: Group) -> datetime | None:
    unfinished = group.payments().open().filter(state__in=[State.SETTLING, State.SETTLED])
    first: datetime | None = unfinished.aggregate(at=Min("created_at"))["at"]
    return first


def _wait_for(cursor: Cursor, node: Node, head: Block) -> Steps[None]:
    """The node is behind what was read: raise `NodeError`, but not for ever."""
    if timezone.now() - cursor.read_at < STUCK_AFTER:
        raise NodeError(f"it is at block {head.number}, behind {cursor.block_number}")
    back = max(0, head.number - conf.get().rescan_blocks)
    log.error("The cursor at block %d is beyond the chain: back to %d", cursor.block_number, back)
    yield from query(cursors.advance, cursor, (yield from node.block(back)))


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
        yield from query(cursors.advance, cursor, end)


def _is_anything_open(group: Group) -> bool:
    open_ones = group.payments().open()
    return open_ones.filter(state__in=[State.SETTLING, State.SETTLED]).exists()


def _confirm(group: Group, found: Sequence[Transfer]) -> int:
    """Confirm the payments that the transfers are. Returns how many moved."""
    by_identity = {schemes.identify(group.network, transfer): transfer for transfer in found}
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


def block_before(node: Node, timestamp: float, last: int, first: int = 0) -> Steps[int]:
    """The newest block, from `first` to `last`, that is not younger than that; `first` if all of
    them are. Raises `NodeError`."""
    low, high = min(first, last), last
    while low < high:
        middle = (low + high + 1) // 2
        if (yield from node.block(middle)).timestamp <= timestamp:
            low = middle
        else:
            high = middle - 1
    return low
