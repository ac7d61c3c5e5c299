"""Orders that are paid by a plain transfer: told apart by their last digits, seen on the chain.

The chain is read twice: up to its newest block for transfers of just the amount of an order, and a
while behind it for all other money that came in meanwhile. That is written down for an order as
well where there is only one that it can be of: short, in excess, or in another token, it is a row
then that owner and buyer can see. The buyer can name the transaction too. Only the exact amount
opens anything: other money may be of somebody who never heard of the order.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import IntegrityError
from django.utils import timezone

from paywall import conf, durable, ledger
from paywall.effects import query, run
from paywall.exceptions import Code, LedgerUnavailable, StaleMove, Unavailable
from paywall.models import Account, Order, Payment
from paywall.rails.base import Unreachable

from . import cursors, networks, nodes, plain, transfers
from .confirmation import block_before
from .cursors import Group
from .evidence import proof
from .rpc import NodeError
from .terms import RAIL
from .tokens import TOKENS, find_token

if TYPE_CHECKING:
    from typing import Any

    from paywall.effects import Steps
    from paywall.models import Cursor
    from paywall.vocabulary import Offer

    from .rpc import Block, Node
    from .transfers import Transfer

log = logging.getLogger(__name__)

MOST_EXTRA = 9_999
"""Units that an order may cost more than its price, to be told apart."""

TRIES = 25

KEPT_FOR = timedelta(days=7)
"""For how long after an order has ended its amount is given to no other, and its money awaited."""

EARLIER = timedelta(minutes=2)
"""How far the clocks of chain and site may differ."""

BEHIND = timedelta(seconds=45)
"""How old money is that fits no order before it is given to the only one that it can be of: by then
the ledger knows what is a payment of another kind."""

AGAIN_AFTER = timedelta(seconds=1)

ANOTHER_AMOUNT = "it is not of the amount that was asked for"

EXACT, OTHERS = "orders", "orders: others"
"""What the cursors of the two readings are called."""


def can_be_told_apart(offer: Offer) -> bool:
    """Whether there is room for an order's digits, and a node to see it by."""
    return offer.rail == RAIL and _most_extra(offer) > 0 and nodes.of(offer.network) is not None


def open_(offer: Offer, purpose: ledger.Purpose, user_id: Any) -> Order:
    """An order for an offer, with an amount that no other has. Raises `Unavailable` where so many
    are open that no digits are free."""
    for _ in range(TRIES):
        amount = offer.amount + secrets.randbelow(_most_extra(offer)) + 1
        asked = replace(
            offer,
            scheme=plain.SCHEME,
            amount=amount,
            price=Decimal(amount).scaleb(-offer.decimals),
        )
        reference = plain.reference(
            offer.network, offer.terms["asset"], offer.terms["payTo"], amount
        )
        ledger.free_reference(RAIL, reference, timezone.now() - KEPT_FOR)
        try:
            return ledger.open_order(
                asked,
                purpose,
                seconds=conf.get().order_timeout,
                user_id=user_id,
                reference=reference,
            )
        except LedgerUnavailable as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
    raise Unavailable(Code.TOO_MANY_REQUESTS, status=429)


def _most_extra(offer: Offer) -> int:
    """Less than a cent, and for small prices not much more than they are."""
    cent: int = 10 ** max(0, offer.decimals - 2)
    return min(MOST_EXTRA, cent - 1, max(99, offer.amount // 10))


# ------------------------------------------------------------------------------ Watching


@dataclass(frozen=True, slots=True)
class _Awaited(Group):
    """Accounts of one token with orders whose money may still come."""

    since: datetime
    """When the first of them was opened."""

    def orders(self) -> Any:
        return _awaited().filter(account__in=self.accounts)


def watch() -> Counter[str]:
    """Read on for the money of orders. Returns how many payments were "seen"."""
    groups = _groups()
    everything = [*groups, *(replace(group, depth=OTHERS) for group in groups)]
    return sum((_tried(group) for group in everything), Counter())


def _tried(group: _Awaited) -> Counter[str]:
    try:
        return run(_read(group))
    except (NodeError, Unreachable, LedgerUnavailable, StaleMove) as error:
        log.warning("%s cannot be read for orders: %s", group.network, error)
    except Exception:
        log.exception("%s could not be read for orders", group.network)
    return Counter()


def _awaited() -> Any:
    return Order.objects.using(durable.alias()).filter(
        rail=RAIL, reference__isnull=False, expires_at__gt=timezone.now() - KEPT_FOR
    )


def _groups() -> list[_Awaited]:
    members: dict[tuple[str, str], dict[int, Account]] = defaultdict(dict)
    since: dict[tuple[str, str], datetime] = {}
    awaited = _awaited().values_list("account_id", "created_at").order_by("created_at")
    first: dict[int, datetime] = {}
    for account_id, created_at in awaited:
        first.setdefault(account_id, created_at)
    for account in Account.objects.using(durable.alias()).filter(pk__in=first):
        if nodes.of(account.network) is None:
            continue
        key = account.network, account.terms["asset"]
        members[key][account.pk] = account
        since[key] = min(since.get(key, first[account.pk]), first[account.pk])
    return [
        _Awaited(*key, EXACT, tuple(accounts.values()), since[key])
        for key, accounts in members.items()
    ]


def _read(group: _Awaited) -> Steps[Counter[str]]:
    """Raises `NodeError`: then the cursor stands where all before it is done."""
    counts: Counter[str] = Counter()
    node = nodes.require(group.network)
    if (yield from node.chain_id()) != networks.chain_id(group.network):
        raise NodeError(f"the node is not on {group.network}")
    last = yield from node.block("latest")
    cursor = yield from query(group.cursor)
    if group.depth == OTHERS:
        last = yield from _block_before(node, timezone.now() - BEHIND, last, cursor)
    cursor = yield from _take(group, cursor, node, last)
    if cursor is None:
        return counts
    try:
        while cursor.block_number < last.number:
            first = cursor.block_number + 1
            end = yield from node.block(min(last.number, first + conf.get().log_range - 1))
            counts["seen"] += yield from _read_range(group, node, first, end)
            yield from query(cursors.advance, cursor, end)
    finally:
        yield from query(cursors.release, cursor)
    return +counts


def _block_before(node: Node, at: datetime, last: Block, cursor: Cursor | None) -> Steps[Block]:
    """Looked for from the cursor on: it never goes back for this."""
    first = 0 if cursor is None else cursor.block_number
    return (
        yield from node.block((yield from block_before(node, at.timestamp(), last.number, first)))
    )


def _take(group: _Awaited, cursor: Cursor | None, node: Node, last: Block) -> Steps[Cursor | None]:
    """The group's cursor, held, where reading goes on; None if somebody else reads."""
    start = group.since - EARLIER
    if cursor is None:
        block = yield from _block_before(node, start, last, None)
        cursor = yield from query(cursors.make, group, block)
    cursor = yield from query(cursors.hold, cursor)
    if cursor is None:
        return None
    if cursor.block_time < start:
        # Nothing was awaited for a while.
        block = yield from _block_before(node, start, last, cursor)
        if block.number > cursor.block_number:
            yield from query(cursors.advance, cursor, block)
    elif (
        cursor.block_number > last.number
        or (yield from node.block(cursor.block_number)).hash != cursor.block_hash
    ):
        # A reorganisation: what is read twice is written once.
        back = max(0, min(cursor.block_number, last.number) - conf.get().rescan_blocks)
        yield from query(cursors.advance, cursor, (yield from node.block(back)))
    return cursor


def _read_range(group: _Awaited, node: Node, first: int, end: Block) -> Steps[int]:
    seen, times = 0, dict[int, datetime]()
    for token in [group.asset, *(_other_tokens(group) if group.depth == OTHERS else ())]:
        found = yield from transfers.incoming(node, token, group.recipients, first, end.number)
        for transfer, place in plain.numbered(found):
            number = transfer.block_number
            if number not in times:
                block = yield from node.block(number)
                times[number] = datetime.fromtimestamp(block.timestamp, UTC)
            seen += yield from query(_give, group, transfer, place, times[number])
    return seen


def _other_tokens(group: Group) -> list[str]:
    """Those that somebody may send by mistake."""
    known = [token.asset for token in TOKENS.values() if token.network == group.network]
    own = Account.objects.using(durable.alias()).filter(rail=RAIL, network=group.network)
    used = [account.terms["asset"] for account in own]
    return sorted({*known, *used} - {group.asset})


def _give(group: _Awaited, transfer: Transfer, place: int, at: datetime) -> bool:
    """Give a transfer to its order. Whether it has one."""
    exact = plain.reference(group.network, transfer.token, transfer.to, transfer.value)
    order = group.orders().filter(reference=exact, created_at__lt=at + EARLIER).first()
    trouble = ""
    if order is None and group.depth == OTHERS and not _is_known(transfer):
        order, trouble = _only(group, transfer, at), ANOTHER_AMOUNT
    if order is None:
        return False
    write_down(order, transfer, place, trouble)
    return True


def _only(group: _Awaited, transfer: Transfer, at: datetime) -> Order | None:
    """The only order that was open when money came that fits none."""
    rows = group.orders().filter(
        # A block's time is in whole seconds.
        created_at__lt=at + timedelta(seconds=1),
        expires_at__gt=at,
        account__in=_paid_to(group, transfer.to),
    )
    found = list(rows[:2])
    return found[0] if len(found) == 1 else None


def _paid_to(group: Group, to: str) -> list[Account]:
    return [account for account in group.accounts if account.terms["pay_to"] == to]


def _is_known(transfer: Transfer) -> bool:
    """Whether the transaction is one of a payment that the ledger has already."""
    payments = Payment.objects.using(durable.alias())
    return payments.filter(reference=transfer.transaction).exists()


def write_down(order: Order, transfer: Transfer, place: int, trouble: str = "") -> Payment:
    """The transfer as the order's money, whatever fits or not."""
    claim = plain.claim(str(order.taken_offer.network), transfer, place)
    paid = proof(transfer.transaction, transfer.block_number, transfer.block_hash, final=False)
    offer = None
    if transfer.token != order.taken_offer.terms["asset"]:
        offer = _in_token(order.taken_offer, transfer)
        trouble = f"it came in {offer.symbol}"
    return ledger.order_paid(order, claim, paid, offer=offer, trouble=trouble)


def _in_token(offer: Offer, transfer: Transfer) -> Offer:
    """What came, as an offer of it would have been: worth nothing in the owner's currency."""
    known = find_token(offer.network, transfer.token)
    return replace(
        offer,
        amount=transfer.value,
        price=Decimal(0),
        symbol=known.symbol if known else transfer.token,
        decimals=known.decimals if known else 0,
        terms={**offer.terms, "asset": transfer.token},
    )


def look_at(order: Order, transaction: str) -> Steps[str]:
    """What the buyer says is the order's payment. Returns a code for the buyer: "" if it was
    written down. Raises `Unreachable`."""
    node = nodes.require(order.taken_offer.network)
    receipt = yield from node.receipt(transaction)
    if receipt is None:
        return "not_seen"
    block = yield from node.block(receipt.block_number)
    at = datetime.fromtimestamp(block.timestamp, UTC)
    found = plain.incoming_in(receipt, order.taken_offer.terms["payTo"])
    if not found or at < order.created_at - EARLIER:
        return "not_to_us"
    written = yield from query(_write_all, order, found)
    return "" if written else "not_yours"


def _write_all(order: Order, found: Any) -> bool:
    written = False
    for transfer, place in found:
        claim = plain.claim(order.taken_offer.network, transfer, place)
        if ledger.find([claim.identity]) is not None or _is_known(transfer):
            continue
        exact = plain.reference(
            order.taken_offer.network, transfer.token, transfer.to, transfer.value
        )
        others = _awaited().filter(reference=exact).exclude(pk=order.pk)
        if others.exists():
            continue
        # Anybody can read a transaction's name: only the amount of the order opens the page.
        trouble = "" if exact == order.reference else ANOTHER_AMOUNT
        write_down(order, transfer, place, trouble)
        written = True
    return written


def catch_up(network: str) -> None:
    """Read on at once, for a buyer who waits; at most about once a second."""
    now = timezone.now()
    for group in _groups():
        if group.network != network:
            continue
        cursor = group.cursor()
        if cursor is None or now - cursor.read_at >= AGAIN_AFTER:
            _tried(group)
