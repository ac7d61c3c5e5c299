"""Does the ledger agree with the chain? Both ways, to the unit.

What the chain shows is read anew, by the same two questions a range as confirming asks, and
compared with what the ledger says: nothing missing, nothing extra, sums equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from paywall import conf, confirmation, database, nodes, schemes
from paywall.evm import networks, transfers
from paywall.evm.rpc import NodeError
from paywall.models import Payment, Refund
from paywall.models.payments import State
from paywall.steps import run

if TYPE_CHECKING:
    from paywall.confirmation import Group
    from paywall.evm.rpc import Node
    from paywall.evm.transfers import Transfer
    from paywall.models import Account

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

    @property
    def agrees(self) -> bool:
        return (
            not (self.missing or self.extra or self.refunds_missing)
            and self.on_chain_units == self.in_ledger_units
        )

    def amount(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.account.decimals)

    def json(self) -> dict[str, Any]:
        return {
            "account": str(self.account),
            "network": self.account.network,
            "asset": self.account.asset,
            "payTo": self.account.pay_to,
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
                {"refund": refund.pk, "transaction": refund.tx_hash, "amount": refund.amount}
                for refund in self.refunds_missing
            ],
        }


def reconcile(since: datetime | None, progress: Progress) -> list[Comparison]:
    """Compare every account that has a node, from a time on or from the ledger's beginning.

    Only blocks that will stay are read. Raises `NodeError`.
    """
    found: list[Comparison] = []
    for group in confirmation.groups():
        node = nodes.of(group.network)
        assert node is not None
        if run(node.chain_id()) != networks.chain_id(group.network):
            raise NodeError(f"the node is not on {group.network}")
        first, last = _range(group, node, since)
        incoming = _read(group, node, first, last, progress)
        found += [_compare(account, first, last, incoming) for account in group.accounts]
        for comparison in found[-len(group.accounts) :]:
            _compare_refunds(comparison, node)
    return found


def _range(group: Group, node: Node, since: datetime | None) -> tuple[int, int]:
    last = run(confirmation.last_final(group, node, run(node.block("latest")))) or 0
    if since is None:
        oldest = group.payments().order_by("pk").first()
        if oldest is None:
            return last + 1, last
        since = oldest.created_at - confirmation.EARLIER
    return run(confirmation.block_before(node, since.timestamp(), last)) + 1, last


def _read(group: Group, node: Node, first: int, last: int, progress: Progress) -> list[Transfer]:
    found: list[Transfer] = []
    start, total = first, max(0, last - first + 1)
    while start <= last:
        end = min(last, start + conf.get().log_range - 1)
        found += run(transfers.incoming(node, group.asset, group.recipients, start, end))
        progress(end - first + 1, total)
        start = end + 1
    return found


def _compare(account: Account, first: int, last: int, incoming: Iterable[Transfer]) -> Comparison:
    comparison = Comparison(account, first, last)
    ours = Payment.objects.using(database.alias()).filter(account=account)
    confirmed = {
        payment.identity: payment
        for payment in ours.filter(
            state=State.CONFIRMED, block_number__gte=first, block_number__lte=last
        ).iterator()
    }
    comparison.in_ledger = len(confirmed)
    comparison.in_ledger_units = sum(int(payment.amount) for payment in confirmed.values())
    without_nonce = _without_nonce(confirmed.values())
    for transfer in incoming:
        if transfer.to != account.pay_to:
            continue
        identity = schemes.identify(account.network, transfer)
        key = (transfer.transaction, transfer.payer, transfer.value)
        if identity is None and without_nonce.get(key):
            identity = without_nonce[key].pop().identity
        if identity is not None and confirmed.pop(identity, None) is not None:
            comparison.on_chain += 1
            comparison.on_chain_units += transfer.value
            continue
        _file(comparison, ours.filter(identity=identity).first() if identity else None, transfer)
    comparison.missing = list(confirmed.values())
    return comparison


def _without_nonce(
    payments: Iterable[Payment],
) -> dict[tuple[str, str, int], list[Payment]]:
    """Payments whose logs do not name them (Permit2), by what their transfer looks like."""
    found: dict[tuple[str, str, int], list[Payment]] = {}
    for payment in payments:
        if not payment.identity.startswith(schemes.FOUND_IN_LOGS):
            key = (payment.tx_hash, payment.payer, int(payment.amount))
            found.setdefault(key, []).append(payment)
    return found


def _file(comparison: Comparison, payment: Payment | None, transfer: Transfer) -> None:
    """A transfer that no confirmed payment of the range is."""
    if payment is None or payment.state == State.CONFIRMED:
        comparison.unmatched.append(transfer)
    elif payment.state in _IN_FLIGHT:
        comparison.in_flight += 1
    else:
        comparison.extra.append((payment, transfer))


def _compare_refunds(comparison: Comparison, node: Node) -> None:
    """Each confirmed refund is on the chain, where its transaction says."""
    refunds = Refund.objects.using(database.alias()).filter(
        payment__account=comparison.account, state=Refund.State.CONFIRMED
    )
    for refund in refunds.select_related("payment").iterator():
        receipt = run(node.receipt(refund.tx_hash))
        if receipt is None or not transfers.moves(
            receipt, comparison.account.asset, refund.payment.payer, int(refund.amount)
        ):
            comparison.refunds_missing.append(refund)
            continue
        if comparison.first_block <= receipt.block_number <= comparison.last_block:
            comparison.refunds += 1
            comparison.refunds_units += int(refund.amount)


def _payment_json(payment: Payment) -> dict[str, Any]:
    return {
        "payment": payment.pk,
        "state": payment.state,
        "payer": payment.payer,
        "amount": payment.amount,
        "transaction": payment.tx_hash,
    }


def _transfer_json(transfer: Transfer) -> dict[str, Any]:
    return {
        "from": transfer.payer,
        "to": transfer.to,
        "amount": str(transfer.value),
        "transaction": transfer.transaction,
        "block": transfer.block_number,
    }
