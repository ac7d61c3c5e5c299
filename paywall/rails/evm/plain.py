"""A plain transfer of a token, as any wallet's app sends it: what it is known by, and its proof."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from paywall.vocabulary import Claim, Finding, Spent, Unspent

from . import networks
from .addresses import checksum
from .evidence import on_chain, paid
from .transfers import pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from paywall.effects import Steps
    from paywall.vocabulary import Charge

    from .evidence import Depth
    from .rpc import Node, TransactionReceipt
    from .transfers import Transfer

SCHEME = "transfer"
"""The scheme of an order's offer: no credential can name it."""

FORGOTTEN_AFTER = 24 * 3600
"""Seconds after which a transaction that no node has will not come back."""


def uri(network: str, asset: str, to: str, amount: int) -> str:
    """A payment request that wallets' apps open (EIP-681)."""
    chain = networks.chain_id(network)
    return f"ethereum:{asset}@{chain}/transfer?address={to}&uint256={amount}"


def reference(network: str, asset: str, to: str, amount: int) -> str:
    """By what an order that awaits such a transfer is known."""
    return f"{network}/{asset}/{to}/{amount}".lower()


def numbered(transfers: Iterable[Transfer]) -> Iterator[tuple[Transfer, int]]:
    """Plain transfers, each with its place among those of its transaction to the same address in
    the same token: that stays the same in whatever block the transaction ends up."""
    seen: dict[tuple[str, str, str], int] = {}
    for transfer in transfers:
        if transfer.nonce is not None:
            continue
        key = (transfer.transaction, transfer.token, transfer.to)
        seen[key] = seen.get(key, -1) + 1
        yield transfer, seen[key]


def claim(network: str, transfer: Transfer, place: int) -> Claim:
    """What a transfer is worth to us."""
    return Claim(
        identity=f"transfer:{network}/{transfer.token}/{transfer.transaction}/{transfer.to}/{place}",
        amount=transfer.value,
        payer=transfer.payer,
        payload={
            "transaction": transfer.transaction,
            "token": transfer.token,
            "to": transfer.to,
            "value": str(transfer.value),
            "place": place,
        },
        network=network,
    )


def find(charge: Charge, node: Node, depth: Depth) -> Steps[Finding]:
    """What a node shows of a transfer that was seen. Never raises."""
    chain_id = networks.chain_id(charge.offer.network)
    return (yield from on_chain(node, chain_id, _look(charge.payload, node, depth)))


def _look(payload: Mapping[str, Any], node: Node, depth: Depth) -> Steps[Finding]:
    head = yield from node.block("latest")
    receipt = yield from node.receipt(str(payload["transaction"]))
    if receipt is None:
        old = time.time() - depth.since.timestamp() > FORGOTTEN_AFTER
        return Unspent(never=old)
    if is_in(receipt, payload):
        return paid(receipt, head, depth.confirmations)
    if not receipt.succeeded:
        return Unspent(never=_is_deep(receipt, head.number, depth), reverted=True)
    return Spent("moved elsewhere", receipt.transaction, _is_deep(receipt, head.number, depth))


def _is_deep(receipt: TransactionReceipt, head: int, depth: Depth) -> bool:
    return head - receipt.block_number + 1 >= depth.confirmations


def is_in(receipt: TransactionReceipt, payload: Mapping[str, Any]) -> bool:
    """Whether a transaction has that transfer in it."""
    wanted = (payload["token"], payload["to"], int(payload["value"]), payload["place"])
    return receipt.succeeded and any(
        (transfer.token, transfer.to, transfer.value, place) == wanted
        for transfer, place in numbered(pair(receipt.logs))
    )


def incoming_in(receipt: TransactionReceipt, to: str) -> Sequence[tuple[Transfer, int]]:
    """Plain transfers of whatever token to an address, in one transaction."""
    if not receipt.succeeded:
        return ()
    found = numbered(pair(receipt.logs))
    return [(transfer, place) for transfer, place in found if transfer.to == checksum(to)]
