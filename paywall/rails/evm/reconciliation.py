"""Does the ledger agree with the chain? Both ways, to the unit.

What the chain shows is read anew, by the same two questions a range as confirming asks, and
compared with what the ledger says: nothing missing, nothing extra, sums equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from paywall import conf, durable, pseudonyms
from paywall.effects import run
from paywall.models import Payment, Refund
from paywall.models.payments import State

from . import confirmation, cursors, networks, nodes, refunds, schemes, transactions, transfers
from .rpc import NodeError

if TYPE_CHECKING:
    from paywall.models import Account

    from .cursors import Group
    from .rpc import Node
    from .transfers import Transfer

Progress = Callable[[int, int], None]
"""Called with blocks read, and blocks in all."""

_IN_FLIGHT = (State.CLAIMED, State.SETTLING, State.SETTLED)


@dataclass(slots=True)
class Comparison:
    """One account: what its chain and the ledger say about a range of blocks."""

    account: Account
    first_block: int
    last_block: int
    on_chain: int = 0
    """Transfers in, that are payments of ours."""
    on_chain_units: int = 0
    in_ledger: int = 0
    """Confirmed payments."""
    in_ledger_units: int = 0
    in_flight: int = 0
    """Paid on the chain, and still on their way to `confirmed`: the engine will see to them."""
    missing: list[Payment] = field(default_factory=list)
    """Confirmed in the ledger, and not on the chain."""
    extra: list[tuple[Payment, Transfer]] = field(default_factory=list)
    """Paid on the chain, and failed or lost in the ledger."""
    unmatched: list[Transfer] = field(default_factory=list)
    """Money that came in otherwise."""
    refunds: int = 0
    refunds_units: int = 0
    refunds_missing: list[Refund] = field(default_factory=list)
    """Confirmed in the ledger, and not on the chain."""

    name = "The chain"

    @property
    def agrees(self) -> bool:
        return (
            not (self.missing or self.extra or self.refunds_missing)
            and self.on_chain_units == self.in_ledger_units
        )

    @property
    def strictly_agrees(self) -> bool:
        """And no other money came in."""
        return self.agrees and not self.unmatched

    def amount(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.account.decimals)

    def lines(self, most: int) -> Iterator[str]:
        """For people; of each kind of difference so many at most."""
        symbol = self.account.symbol
        yield f"{self.account}, blocks {self.first_block} to {self.last_block}"
        rows = [
            ("payments on the chain", self.on_chain, self.on_chain_units),
            ("payments in the ledger", self.in_ledger, self.in_ledger_units),
            ("on their way", self.in_flight, None),
            ("missing on the chain", len(self.missing), sum(p.atomic_amount for p in self.missing)),
            ("extra on the chain", len(self.extra), sum(t.value for _, t in self.extra)),
            ("other money in", len(self.unmatched), sum(t.value for t in self.unmatched)),
            ("refunds", self.refunds, self.refunds_units),
            ("refunds missing", len(self.refunds_missing), None),
        ]
        for name, number, units in rows:
            amount = "" if units is None else f"{self.amount(units)} {symbol}"
            yield f"  {name:<24}{number:>10}{amount:>28}"
        for payment in self.missing[:most]:
            yield f"  missing: payment {payment.pk}, {payment.reference}"
        for payment, transfer in self.extra[:most]:
            yield f"  extra: payment {payment.pk} is {payment.state}, {transfer.transaction}"
        for transfer in self.unmatched[:most]:
            amount = f"{self.amount(transfer.value)} {symbol}"
            yield f"  unmatched: {amount} from {transfer.payer}, {transfer.transaction}"
        for refund in self.refunds_missing[:most]:
            yield f"  refund missing: {refund.pk}, {refund.reference}"

    def json(self) -> dict[str, Any]:
        return {
            "account": str(self.account),
            "network": self.account.network,
            "asset": self.account.terms["asset"],
            "payTo": self.account.terms["pay_to"],
            "firstBlock": self.first_block,
            "lastBlock": self.last_block,
            "agrees": self.agrees,
            "onChain": {"count": self.on_chain, "amount": str(self.on_chain_units)},
            "inLedger": {"count": self.in_ledger, "amount": str(self.in_ledger_units)},
            "inFlight": self.in_flight,
            "refunds": {"count": self.refunds, "amount": str(self.refunds_units)},
            "missing": [_payment_json(payment) for payment in self.missing],
            "extra": [
                {**_payment_json(payment), "onChain": _transfer_json(transfer)}
                for payment, transfer in self.extra
            ],
            "unmatched": [_transfer_json(transfer) for transfer in self.unmatched],
            "refundsMissing": [
                {"refund": refund.pk, "transaction": refund.reference, "amount": refund.amount}
                for refund in self.refunds_missing
            ],
        }


def reconcile(since: datetime | None, progress: Progress) -> list[Comparison]:
    """Compare every account that has a node, from a time on or from the ledger's beginning.

    Only blocks that will stay are read. Raises `NodeError`.
    """
    found: list[Comparison] = []
    for group in cursors.groups():
        node = nodes.of(group.network)
        assert node is not None
        if run(node.chain_id()) != networks.chain_id(group.network):
            raise NodeError(f"the node is not on {group.network}")
        first, last = _range(group, node, since)
        comparisons = [Comparison(account, first, last) for account in group.accounts]
        for start, end in _chunks(first, last):
            incoming = run(transfers.incoming(node, group.asset, group.recipients, start, end))
            for comparison in comparisons:
                _compare(comparison, start, end, incoming)
            progress(end - first + 1, max(0, last - first + 1))
        for comparison in comparisons:
            _compare_refunds(comparison, node)
        found += comparisons
    return found


def _chunks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Blocks that are compared at once: no more payments are in memory than are in those."""
    step = conf.get().log_range
    for start in range(first, last + 1, step):
        yield start, min(last, start + step - 1)


def _range(group: Group, node: Node, since: datetime | None) -> tuple[int, int]:
    last = run(cursors.last_final(group.depth, node, run(node.block("latest")))) or 0
    if since is None:
        oldest = group.payments().order_by("pk").first()
        if oldest is None:
            return last + 1, last
        since = oldest.created_at - confirmation.EARLIER
    return run(confirmation.block_before(node, since.timestamp(), last)) + 1, last


def _compare(comparison: Comparison, first: int, last: int, incoming: Iterable[Transfer]) -> None:
    """Add what some blocks and the ledger say of them."""
    account = comparison.account
    ours = Payment.objects.using(durable.alias()).filter(account=account)
    confirmed = {
        payment.identity: payment
        for payment in ours.filter(
            state=State.CONFIRMED, position__gte=first, position__lte=last
        ).defer("payload")
    }
    comparison.in_ledger += len(confirmed)
    comparison.in_ledger_units += sum(payment.atomic_amount for payment in confirmed.values())
    without_nonce = _without_nonce(confirmed.values())
    others: list[tuple[str | None, Transfer]] = []
    for transfer in incoming:
        if transfer.to != account.terms["pay_to"]:
            continue
        identity = schemes.identify(account.network, transfer)
        if identity is None or identity not in confirmed:
            senders = (_ANYBODY,) if identity else (transfer.payer, _ANYBODY)
            identity = _by_looks(without_nonce, transfer, senders) or identity
        if identity is not None and confirmed.pop(identity, None) is not None:
            comparison.on_chain += 1
            comparison.on_chain_units += transfer.value
        else:
            others.append((identity, transfer))
    named = {identity for identity, _ in others if identity}
    known = {payment.identity: payment for payment in ours.filter(identity__in=named)}
    for identity, transfer in others:
        _file(comparison, known.get(identity or ""), transfer)
    comparison.missing += confirmed.values()


def _without_nonce(
    payments: Iterable[Payment],
) -> dict[tuple[str, str, int], list[Payment]]:
    """Payments whose logs do not name them (Permit2, or forgotten), by what their transfer looks
    like."""
    found: dict[tuple[str, str, int], list[Payment]] = {}
    for payment in payments:
        if not payment.identity.startswith(schemes.FOUND_IN_LOGS):
            payer = _ANYBODY if pseudonyms.is_one(payment.payer) else str(payment.payer)
            key = (payment.reference, payer, payment.atomic_amount)
            found.setdefault(key, []).append(payment)
    return found


_ANYBODY = ""
"""Whose wallet was forgotten: the transaction and the amount still say which transfer it was."""


def _by_looks(
    without_nonce: dict[tuple[str, str, int], list[Payment]],
    transfer: Transfer,
    senders: Iterable[str],
) -> str | None:
    """The identity of a payment that a transfer may be, from one of these; it is taken out."""
    for payer in senders:
        if alike := without_nonce.get((transfer.transaction, payer, transfer.value)):
            return alike.pop().identity
    return None


def _file(comparison: Comparison, payment: Payment | None, transfer: Transfer) -> None:
    """A transfer that no confirmed payment of the range is."""
    if payment is None or payment.state == State.CONFIRMED:
        comparison.unmatched.append(transfer)
    elif payment.state in _IN_FLIGHT:
        comparison.in_flight += 1
    else:
        comparison.extra.append((payment, transfer))


def _compare_refunds(comparison: Comparison, node: Node) -> None:
    """Each confirmed refund is on the chain. What went out of our wallets is read by range; one
    that is not among it (from another wallet, or in other blocks) is asked for by itself."""
    account, using = comparison.account, durable.alias()
    confirmed = Refund.objects.using(using).filter(
        payment__account=account, state=Refund.State.CONFIRMED
    )
    if not confirmed.exists():
        return
    senders = {account.terms["pay_to"], *confirmed.values_list("sender", flat=True)} - {""}
    if key := conf.get().treasury_key:
        senders.add(transactions.wallet(key).address)
    went_out: set[tuple[str, str, int]] = set()
    for start, end in _chunks(comparison.first_block, comparison.last_block):
        out = run(transfers.outgoing(node, account.terms["asset"], sorted(senders), start, end))
        went_out |= {(one.transaction, to, one.value) for one in out for to in (one.to, _ANYBODY)}
    for refund in confirmed.select_related("payment").iterator(chunk_size=2_000):
        payer = _ANYBODY if pseudonyms.is_one(refund.payment.payer) else refund.payment.payer
        if (refund.reference, payer, int(refund.amount)) in went_out:
            comparison.refunds += 1
            comparison.refunds_units += int(refund.amount)
            continue
        receipt = run(node.receipt(refund.reference))
        if receipt is None or not refunds.proves(refund, receipt):
            comparison.refunds_missing.append(refund)
        elif comparison.first_block <= receipt.block_number <= comparison.last_block:
            comparison.refunds += 1
            comparison.refunds_units += int(refund.amount)


def _payment_json(payment: Payment) -> dict[str, Any]:
    return {
        "payment": payment.pk,
        "state": payment.state,
        "payer": payment.payer,
        "amount": str(payment.atomic_amount),
        "transaction": payment.reference,
    }


def _transfer_json(transfer: Transfer) -> dict[str, Any]:
    return {
        "from": transfer.payer,
        "to": transfer.to,
        "amount": str(transfer.value),
        "transaction": transfer.transaction,
        "block": transfer.block_number,
    }
