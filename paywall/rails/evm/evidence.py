"""What the chain shows of one EIP-3009 authorization: found by its logs, not by anyone's word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from paywall.vocabulary import Finding, Paid, Spent, Undecided, Unspent

from .addresses import topic, word
from .eip3009 import (
    AUTHORIZATION_CANCELED_TOPIC,
    AUTHORIZATION_STATE_SELECTOR,
    AUTHORIZATION_USED_TOPIC,
    TRANSFER_TOPIC,
)
from .rpc import Block, Log, Node, NodeError, TransactionReceipt
from .transfers import read_logs

if TYPE_CHECKING:
    from paywall.effects import Steps

    from .eip3009 import TransferAuthorization


@dataclass(frozen=True, slots=True)
class Depth:
    """Where to look for an authorization, and how deep is deep enough."""

    since: datetime
    """When we first saw it."""
    confirmations: int
    """Blocks after which the answer stands."""
    transaction: str = ""
    """Where the facilitator says that it happened, if it said so."""
    log_range: int = 2_000
    """Blocks for which a node may be asked for logs at once."""


@dataclass(frozen=True, slots=True)
class Question:
    """Did this authorization move this token?"""

    token: str
    authorization: TransferAuthorization
    since: int
    """Unix seconds before which it cannot have been used."""
    confirmations: int
    """Blocks after which the answer stands."""
    transaction: str = ""
    """Where the facilitator says that it happened, if it said so."""
    log_range: int = 2_000
    """Blocks asked for at once; in halves where that is too much for a node."""


def on_chain(node: Node, chain_id: int, look: Steps[Finding]) -> Steps[Finding]:
    """Have a node looked at, if it is of that chain. `NodeError` becomes `Undecided`."""
    try:
        if (yield from node.chain_id()) != chain_id:
            return Undecided(f"the node is not on chain {chain_id}")
        return (yield from look)
    except NodeError as error:
        return Undecided(str(error))


def look(node: Node, question: Question) -> Steps[Finding]:
    """What the chain shows. Raises `NodeError`."""
    head = yield from node.block("latest")
    reverted = False
    if question.transaction:
        receipt = yield from node.receipt(question.transaction)
        if receipt is not None:
            if moved(receipt, question):
                return paid(receipt, head, question.confirmations)
            reverted = not receipt.succeeded

    if not (yield from _is_used(node, question)):
        valid_before = question.authorization.valid_before
        never = yield from is_out_of_time(node, valid_before, question.confirmations, head)
        return Unspent(never=never, reverted=reverted)

    # Used, and not in the transaction we were told: anyone may have submitted it.
    log = yield from _find_use(node, question, head)
    if log is None:
        return Undecided("the nonce is used, but no log of it was found")
    receipt = yield from node.receipt(log.transaction)
    if receipt is None:
        return Undecided("a log's transaction has no receipt")
    if log.topics[0] == AUTHORIZATION_USED_TOPIC and moved(receipt, question):
        return paid(receipt, head, question.confirmations)
    reason = "cancelled" if log.topics[0] == AUTHORIZATION_CANCELED_TOPIC else "moved elsewhere"
    return Spent(reason, receipt.transaction, _is_final(receipt, head, question.confirmations))


def moved(receipt: TransactionReceipt, question: Question) -> bool:
    """Whether a transaction used this nonce and moved this value from payer to payee.

    A receipt's success proves nothing: some tokens do not revert on a used nonce. Nor does a
    lone `Transfer`: with many payments in one transaction it may be another's. The token
    writes the two logs side by side, so the neighbour of `AuthorizationUsed` decides.
    """
    if not receipt.succeeded:
        return False
    authorization = question.authorization
    logs = [log for log in receipt.logs if log.address == question.token.lower()]
    for position, log in enumerate(logs):
        if log.topics == _nonce_topics(AUTHORIZATION_USED_TOPIC, authorization):
            before, after = logs[:position][-1:], logs[position + 1 :][:1]
            neighbour = next((x for x in after if x.topics[:1] == (TRANSFER_TOPIC,)), None)
            if neighbour is None:
                neighbour = next((x for x in before if x.topics[:1] == (TRANSFER_TOPIC,)), None)
            return neighbour is not None and is_transfer(
                neighbour,
                question.token,
                authorization.payer,
                authorization.to,
                authorization.value,
            )
    return False


def is_transfer(log: Log, token: str, payer: str, to: str, value: int) -> bool:
    """Whether a log is a token's `Transfer` of just this value from payer to payee."""
    return (
        log.address == token.lower()
        and log.topics == (TRANSFER_TOPIC, topic(payer), topic(to))
        and log.data == f"0x{word(value).hex()}"
    )


def paid(receipt: TransactionReceipt, head: Block, confirmations: int) -> Paid:
    """A transaction that paid; final if it is deep enough under the head."""
    final = _is_final(receipt, head, confirmations)
    return proof(receipt.transaction, receipt.block_number, receipt.block_hash, final=final)


def proof(transaction: str, block_number: int, block_hash: str, *, final: bool) -> Paid:
    """What a payment keeps of where the chain shows it."""
    return Paid(transaction, final, block_number, {"block_hash": block_hash})


def _is_final(receipt: TransactionReceipt, head: Block, confirmations: int) -> bool:
    return head.number - receipt.block_number + 1 >= confirmations


def is_out_of_time(node: Node, valid_before: int, confirmations: int, head: Block) -> Steps[bool]:
    """Whether a block that will stay is already past an authorization's last second."""
    if head.timestamp < valid_before:
        return False
    deep = head.number - max(confirmations, 1) + 1
    if deep < 0:
        return False
    return (yield from node.block(deep)).timestamp >= valid_before


def _is_used(node: Node, question: Question) -> Steps[bool]:
    authorization = question.authorization
    data = AUTHORIZATION_STATE_SELECTOR + topic(authorization.payer)[2:] + authorization.nonce[2:]
    return (yield from node.number_call(question.token, data)) != 0


def _find_use(node: Node, question: Question, head: Block) -> Steps[Log | None]:
    """The log of the nonce's use or cancellation, searched backwards from the head."""
    authorization = question.authorization
    topics = [
        [AUTHORIZATION_USED_TOPIC, AUTHORIZATION_CANCELED_TOPIC],
        topic(authorization.payer),
        authorization.nonce,
    ]
    last = head.number
    while last >= 0:
        first = max(0, last - question.log_range + 1)
        logs = yield from read_logs(node, question.token, topics, first, last)
        if logs:
            return logs[0]
        if first == 0 or (yield from node.block(first)).timestamp < question.since:
            return None
        last = first - 1
    return None


def _nonce_topics(event: str, authorization: TransferAuthorization) -> tuple[str, ...]:
    return (event, topic(authorization.payer), authorization.nonce)
