"""How far the logs of a token have been read, and by whom just now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from paywall import conf, durable
from paywall.exceptions import StaleMove
from paywall.models import Account, Cursor, Payment

from .terms import RAIL
from .terms import of as terms_of

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models.payments import PaymentQuerySet

    from .rpc import Block, Node

LEASE = timedelta(seconds=30)
"""For which one worker reads for a cursor. If it takes longer and two do, no harm is done."""


FINALIZED = "finalized"
"""The depth of who waits for what the chain itself calls so."""


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
    accounts = Account.objects.using(durable.alias()).filter(rail=RAIL, network__in=networks_read)
    for account in accounts.order_by("pk"):
        terms = terms_of(account)
        depth = FINALIZED if terms.finalized else str(terms.confirmations)
        found[account.network, terms.asset, depth].append(account)
    return [Group(*key, tuple(members)) for key, members in found.items()]


def last_final(depth: str, node: Node, head: Block) -> Steps[int | None]:
    """The newest block that will stay, for who wants that depth; None while there is none.

    Raises `NodeError`.
    """
    if depth == FINALIZED:
        return (yield from node.block(FINALIZED)).number
    number = head.number - int(depth) + 1
    return number if number >= 0 else None


@durable.write
def make(group: Group, block: Block) -> Cursor:
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
def hold(cursor: Cursor) -> Cursor | None:
    now = timezone.now()
    rows = Cursor.objects.using(durable.alias()).filter(pk=cursor.pk)
    if not rows.filter(held_until__lte=now).update(held_until=now + LEASE):
        return None
    return rows.get()


@durable.write
def release(cursor: Cursor) -> None:
    rows = Cursor.objects.using(durable.alias()).filter(pk=cursor.pk)
    rows.update(held_until=timezone.now())


@durable.write
def note_read(cursor: Cursor) -> None:
    rows = Cursor.objects.using(durable.alias()).filter(pk=cursor.pk)
    rows.update(read_at=timezone.now())


@durable.write
def advance(cursor: Cursor, block: Block) -> None:
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


def _time(block: Block) -> datetime:
    return datetime.fromtimestamp(block.timestamp, UTC)
