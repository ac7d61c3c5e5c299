"""JSON-RPC to one node, as steps. Every failure of the node is one `NodeError`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from paywall.steps import Send, Steps, send


class NodeError(Exception):
    """The node cannot be reached, answers nonsense, or answers with an error."""


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


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    transaction: str
    succeeded: bool
    block_number: int
    block_hash: str
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """An EVM node. Hex in what it returns is lower case."""

    url: str
    timeout: float = 10.0
    """Seconds for one call."""

    def call(self, method: str, *parameters: Any) -> Steps[Any]:
        """The result of one call. Raises `NodeError`."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        try:
            response = yield from send(
                Send("POST", self.url, json=body, timeout=httpx.Timeout(self.timeout))
            )
            response.raise_for_status()
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            # Not the URL: it may carry the owner's key.
            raise NodeError(f"{method}: {type(error).__name__}") from None
        if not isinstance(answer, dict) or "result" not in answer:
            reason = answer.get("error") if isinstance(answer, dict) else "no answer"
            raise NodeError(f"{method}: {str(reason)[:200]}")
        return answer["result"]

    def chain_id(self) -> Steps[int]:
        return _number((yield from self.call("eth_chainId")))

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
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NodeError(f"eth_getTransactionReceipt: malformed ({error!r})") from error

    def logs(
        self, address: str, topics: list[Any], from_block: int, to_block: int
    ) -> Steps[list[Log]]:
        """Logs of a contract in a range of blocks, both ends included."""
        found = yield from self.call(
            "eth_getLogs",
            {
                "address": address,
                "topics": topics,
                "fromBlock": hex(from_block),
                "toBlock": hex(to_block),
            },
        )
        try:
            return [_log(log) for log in found]
        except (KeyError, TypeError, ValueError) as error:
            raise NodeError(f"eth_getLogs: malformed ({error!r})") from error

    def eth_call(self, to: str, data: str) -> Steps[str]:
        """What a contract answers at the newest block, as hex."""
        return str((yield from self.call("eth_call", {"to": to, "data": data}, "latest"))).lower()

    def number_call(self, to: str, data: str) -> Steps[int]:
        """What a contract answers at the newest block, as one number. Raises `NodeError`."""
        answer = yield from self.eth_call(to, data)
        try:
            return int(answer, 16)
        except ValueError as error:
            raise NodeError(f"eth_call: {answer[:80]!r}") from error

    def transaction_input(self, transaction: str) -> Steps[str]:
        """The data that a transaction carries, as hex. Raises `NodeError`."""
        found = yield from self.call("eth_getTransactionByHash", transaction)
        if not isinstance(found, dict) or not isinstance(found.get("input"), str):
            raise NodeError("eth_getTransactionByHash: no input")
        return str(found["input"]).lower()

    def has_code(self, address: str) -> Steps[bool]:
        """Whether a contract lives at the address."""
        code = str((yield from self.call("eth_getCode", address, "latest")))
        return code not in ("0x", "0x0", "")


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
    )
