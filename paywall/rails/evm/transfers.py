"""Transfers to some addresses, read from logs by range: what confirming and reconciling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .addresses import checksum, topic
from .eip3009 import AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC
from .rpc import Declined, Log, Node, NodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paywall.effects import Steps

    from .rpc import TransactionReceipt

MOST_TOPICS = 500
"""Values of one topic that a node is asked for at once."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A token's `Transfer`, with the authorization that it was made by, if one was."""

    token: str
    payer: str
    to: str
    value: int
    nonce: str | None
    """Of the EIP-3009 authorization; None for a transfer of another kind."""
    transaction: str
    block_number: int
    block_hash: str


def incoming(
    node: Node, token: str, recipients: Sequence[str], first: int, last: int
) -> Steps[list[Transfer]]:
    """A token's transfers to the recipients in blocks `first` to `last`. Raises `NodeError`.

    Two questions a range, however many transfers there are: those to us, and then the
    authorizations that their senders used.
    """
    topics = [[TRANSFER_TOPIC], None, [topic(address) for address in recipients]]
    transfers = yield from read_logs(node, token, topics, first, last)
    payers = sorted({log.topics[1] for log in transfers if len(log.topics) == 3})
    used: list[Log] = []
    for start in range(0, len(payers), MOST_TOPICS):
        chunk = [[AUTHORIZATION_USED_TOPIC], payers[start : start + MOST_TOPICS]]
        used += yield from read_logs(node, token, chunk, first, last)
    return pair([*transfers, *used])


def outgoing(
    node: Node, token: str, senders: Sequence[str], first: int, last: int
) -> Steps[list[Transfer]]:
    """A token's transfers from some addresses in blocks `first` to `last`. Raises `NodeError`."""
    topics = [[TRANSFER_TOPIC], [topic(address) for address in senders]]
    return pair((yield from read_logs(node, token, topics, first, last)))


def read_logs(
    node: Node, token: str, topics: Sequence[object], first: int, last: int
) -> Steps[list[Log]]:
    """Logs of a range, in halves where a node finds the whole too much. Raises `NodeError`."""
    try:
        return (yield from node.logs(token, topics, first, last))
    except Declined:
        # Nodes have as many words for "too many results" as there are nodes.
        if first >= last:
            raise
    middle = (first + last) // 2
    lower = yield from read_logs(node, token, topics, first, middle)
    return lower + (yield from read_logs(node, token, topics, middle + 1, last))


def pair(logs: Iterable[Log]) -> list[Transfer]:
    """Transfers, each with the nonce in the log beside it.

    The token writes `AuthorizationUsed` and `Transfer` side by side: a transfer belongs to the
    authorization just before it, or else just after it, of the same payer; and each
    authorization to one transfer.
    """
    known: dict[tuple[str, int], Log] = {}
    transfers = []
    for log in logs:
        if log.topics[:1] == (AUTHORIZATION_USED_TOPIC,) and len(log.topics) == 3:
            known[log.block_hash, log.index] = log
        elif log.topics[:1] == (TRANSFER_TOPIC,) and len(log.topics) == 3:
            transfers.append(log)
    found = []
    for log in sorted(transfers, key=lambda log: (log.block_number, log.index)):
        nonce = None
        for place in ((log.block_hash, log.index - 1), (log.block_hash, log.index + 1)):
            used = known.get(place)
            if used is not None and used.topics[1] == log.topics[1]:
                nonce = known.pop(place).topics[2]
                break
        found.append(_transfer(log, nonce))
    return found


def moves(
    receipt: TransactionReceipt, token: str, to: str | None, value: int, senders: set[str]
) -> bool:
    """Whether a transaction moved just this much of a token from one of the senders to an
    address; None is any."""
    return receipt.succeeded and any(
        (transfer.token, transfer.value) == (token, value)
        and transfer.payer in senders
        and to in (None, transfer.to)
        for transfer in pair(receipt.logs)
    )


def _transfer(log: Log, nonce: str | None) -> Transfer:
    try:
        return Transfer(
            token=checksum(log.address),
            payer=checksum("0x" + log.topics[1][-40:]),
            to=checksum("0x" + log.topics[2][-40:]),
            value=int(log.data, 16),
            nonce=nonce,
            transaction=log.transaction,
            block_number=log.block_number,
            block_hash=log.block_hash,
        )
    except ValueError as error:
        raise NodeError(f"eth_getLogs: malformed ({error})") from error
