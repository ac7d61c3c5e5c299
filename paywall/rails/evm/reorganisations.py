"""What a chain took back: found by the hashes of blocks, and looked at payment by payment."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from paywall import conf, settlement
from paywall.effects import query
from paywall.models.payments import State

from . import cursors, own_transactions
from .rpc import NodeError

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models import Cursor, Payment

    from .cursors import Group
    from .rpc import Node

log = logging.getLogger(__name__)


def undo(group: Group, cursor: Cursor, node: Node) -> Steps[Counter[str]]:
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
    yield from query(cursors.advance, cursor, (yield from node.block(back)))
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
