"""JSON-RPC to a network's nodes, as steps. Every failure is one `NodeError`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from paywall.effects import Send, Steps, send
from paywall.logs import plain
from paywall.rails.base import Unreachable

from .addresses import topic
from .eip3009 import BALANCE_SELECTOR

if TYPE_CHECKING:
    from collections.abc import Sequence

AVOIDED_FOR = 30
"""Seconds for which a node that failed is asked last."""


class NodeError(Unreachable):
    """The node cannot be reached, answers nonsense, or answers with an error."""


class Declined(NodeError):
    """The node is there and does not do that: too much, too old, or not its kind."""


class Reverted(Declined):
    """The contract that was called does not do that now: the node is well."""


@dataclass(frozen=True, slots=True)
class Block:
    number: int
    timestamp: int
    """Unix seconds."""
    hash: str


@dataclass(frozen=True, slots=True)
class Log:
    address: str
    topics: tuple[str, ...]
    data: str
    transaction: str
    block_number: int = 0
    block_hash: str = ""
    index: int = 0
    """Its place in the block."""


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    transaction: str
    succeeded: bool
    block_number: int
    block_hash: str
    logs: tuple[Log, ...]
    gas_used: int = 0
    gas_price: int = 0
    """What a unit of gas cost in the end, in wei."""


_failed: dict[str, float] = {}
"""Until when a node is asked last, by its URL."""


@dataclass(frozen=True, slots=True)
class Node:
    """The nodes of an EVM network, as one: where one fails, the next is asked.

    Hex in what it returns is lower case.
    """

    urls: tuple[str, ...] = field(repr=False)
    timeout: float = 10.0
    """Seconds for one call."""

    def each(self) -> list[Node]:
        """Every node by itself, for questions on which they shall agree."""
        return [Node((url,), self.timeout) for url in self.urls]

    def call(self, method: str, *parameters: Any) -> Steps[Any]:
        """The result of one call. Raises `NodeError`, `Reverted` among them."""
        now = time.monotonic()
        trouble: NodeError | None = None
        for url in sorted(self.urls, key=lambda url: _failed.get(url, 0.0) > now):
            try:
                answer = yield from self._ask(url, method, list(parameters))
            except Reverted:
                raise
            except NodeError as error:
                if not isinstance(error, Declined):
                    _failed[url] = now + AVOIDED_FOR
                trouble = error
            else:
                _failed.pop(url, None)
                return answer
        raise trouble or NodeError(f"{method}: there is no node")

    def _ask(self, url: str, method: str, parameters: list[Any]) -> Steps[Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        try:
            response = yield from send(
                Send("POST", url, json=body, timeout=httpx.Timeout(self.timeout))
            )
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            # Not the URL: it may carry the owner's key.
            raise NodeError(f"{method}: {type(error).__name__}") from None
        if not isinstance(answer, dict) or "result" not in answer:
            raise _error(method, answer, response.status_code)
        return answer["result"]

    def chain_id(self) -> Steps[int]:
        return _quantity((yield from self.call("eth_chainId")))

    def block(self, number: int | str) -> Steps[Block]:
        """The block of a number or tag. Raises `NodeError` where there is none."""
        tag = hex(number) if isinstance(number, int) else number
        block = yield from self.call("eth_getBlockByNumber", tag, False)
        if not isinstance(block, dict):
            raise NodeError(f"no block {number}")
        try:
            return Block(
                _number(block["number"]), _number(block["timestamp"]), str(block["hash"]).lower()
            )
        except (KeyError, ValueError) as error:
            raise NodeError(f"a block without {error}") from error

    def depth_of_finality(self) -> Steps[int]:
        """How many blocks up to the newest are not under the finalized one; at least 1."""
        head = yield from self.block("latest")
        return max(1, head.number - (yield from self.block("finalized")).number + 1)

    def receipt(self, transaction: str) -> Steps[TransactionReceipt | None]:
        """A mined transaction's receipt, or None."""
        found = yield from self.call("eth_getTransactionReceipt", transaction)
        if found is None:
            return None
        try:
            return TransactionReceipt(
                transaction=str(found["transactionHash"]).lower(),
                succeeded=_number(found["status"]) == 1,
                block_number=_number(found["blockNumber"]),
                block_hash=str(found["blockHash"]).lower(),
                logs=tuple(_log(log) for log in found["logs"]),
                gas_used=_number(found["gasUsed"]),
                gas_price=_number(found.get("effectiveGasPrice", "0x0")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NodeError(f"eth_getTransactionReceipt: malformed ({error!r})") from error

    def logs(
        self, address: str, topics: Sequence[Any], from_block: int, to_block: int
    ) -> Steps[list[Log]]:
        """Logs of a contract in a range of blocks, both ends included, in their order."""
        found = yield from self.call(
            "eth_getLogs",
            {
                "address": address,
                "topics": list(topics),
                "fromBlock": hex(from_block),
                "toBlock": hex(to_block),
            },
        )
        try:
            return sorted(map(_log, found), key=lambda log: (log.block_number, log.index))
        except (KeyError, TypeError, ValueError) as error:
            raise NodeError(f"eth_getLogs: malformed ({error!r})") from error

    def eth_call(
        self, to: str, data: str, sender: str | None = None, *, gas: int = 0, gas_price: int = 0
    ) -> Steps[str]:
        """What a contract answers at the newest block, as hex. Raises `Reverted`.

        With a sender, gas and price of gas (wei) it sees just what it will see in a block.
        """
        call = {"to": to, "data": data} | ({"from": sender} if sender else {})
        call |= {"gas": hex(gas)} if gas else {}
        call |= {"gasPrice": hex(gas_price)} if gas_price else {}
        return str((yield from self.call("eth_call", call, "latest"))).lower()

    def number_call(self, to: str, data: str) -> Steps[int]:
        """What a contract answers at the newest block, as one number. Raises `NodeError`."""
        answer = yield from self.eth_call(to, data)
        try:
            return int(answer, 16)
        except ValueError as error:
            raise NodeError(f"eth_call: {answer[:80]!r}") from error

    def fees(self) -> Steps[tuple[int, int]]:
        """What a unit of gas costs now, and what is usual on top (wei; EIP-1559)."""
        block = yield from self.call("eth_getBlockByNumber", "latest", False)
        tip = yield from self.call("eth_maxPriorityFeePerGas")
        try:
            return _number(block.get("baseFeePerGas", "0x0")), _number(tip)
        except (AttributeError, ValueError) as error:
            raise NodeError(f"no fees: {error!r}") from error

    def transaction_count(self, address: str, tag: str = "pending") -> Steps[int]:
        """How many transactions an address has sent: the nonce of its next one."""
        return _quantity((yield from self.call("eth_getTransactionCount", address, tag)))

    def coins(self, address: str) -> Steps[int]:
        """What an address has of the chain's own coin, in wei."""
        return _quantity((yield from self.call("eth_getBalance", address, "latest")))

    def send_raw(self, transaction: bytes) -> Steps[str]:
        """Hand a signed transaction to the network; its hash. Raises `NodeError`."""
        return str((yield from self.call("eth_sendRawTransaction", "0x" + transaction.hex())))

    def transaction_input(self, transaction: str) -> Steps[str]:
        """The data that a transaction carries, as hex. Raises `NodeError`."""
        found = yield from self.call("eth_getTransactionByHash", transaction)
        if not isinstance(found, dict) or not isinstance(found.get("input"), str):
            raise NodeError("eth_getTransactionByHash: no input")
        return str(found["input"]).lower()

    def balance_of(self, token: str, owner: str) -> Steps[int]:
        """How much of a token an address has, in its smallest unit."""
        return (yield from self.number_call(token, BALANCE_SELECTOR + topic(owner)[2:]))

    def is_token(self, address: str) -> Steps[bool]:
        """Whether a contract is there that says how many decimals it has (ERC-20)."""
        if not (yield from self.has_code(address)):
            return False
        try:
            return (yield from self.number_call(address, "0x313ce567")) <= 255
        except NodeError:
            return False

    def has_code(self, address: str) -> Steps[bool]:
        """Whether a contract lives at the address."""
        code = str((yield from self.call("eth_getCode", address, "latest")))
        return code not in ("0x", "0x0", "")


def _error(method: str, answer: Any, status: int) -> NodeError:
    """What a node said instead of a result; not what it was asked, which may be long."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return NodeError(plain(f"{method}: {error or f'status {status}'}"))
    message = plain(error.get("message", ""), 200)
    lower = message.lower().replace(" ", "")
    if error.get("code") == 3 or "revert" in lower or "outofgas" in lower:
        return Reverted(message)
    return Declined(f"{method}: {plain(error.get('code'), 20)} {message}")


def _quantity(value: Any) -> int:
    try:
        return _number(value)
    except ValueError as error:
        raise NodeError(str(error)) from error


def _number(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError(f"not a hex quantity: {value!r}")
    return int(value, 16)


def _log(log: dict[str, Any]) -> Log:
    return Log(
        address=str(log["address"]).lower(),
        topics=tuple(str(topic).lower() for topic in log["topics"]),
        data=str(log["data"]).lower(),
        transaction=str(log["transactionHash"]).lower(),
        block_number=_number(log["blockNumber"]),
        block_hash=str(log["blockHash"]).lower(),
        index=_number(log["logIndex"]),
    )
