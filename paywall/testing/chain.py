"""A chain in memory, which shows what a test's facilitator settled, as a node does (JSON-RPC)."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak

from .payments import PLENTY, signed_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

A_SECOND = 50
"""Blocks in it: what is settled is deep at once, and the chain's clock is right."""
DEEP = 50
"""Blocks over the newest transaction. An account may want so many confirmations."""
STARTED = 3_600
"""Seconds before a test that the chain began."""

TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
USED = "0x" + keccak(text="AuthorizationUsed(address,bytes32)").hex()
BALANCE = "0x" + keccak(text="balanceOf(address)")[:4].hex()
STATE = "0x" + keccak(text="authorizationState(address,bytes32)")[:4].hex()
DECIMALS = "0x" + keccak(text="decimals()")[:4].hex()


@dataclass
class Chain:
    """Blocks come by the clock; each settlement is in one of its own."""

    balances: dict[str, int] = field(default_factory=dict)
    """What wallets have, in atomic units; those that are not in it have plenty."""
    used: set[tuple[str, str]] = field(default_factory=set)
    """Payers and nonces of what was settled."""
    _genesis: float = field(default_factory=lambda: time.time() - STARTED)
    _receipts: list[dict[str, Any]] = field(default_factory=list)
    _frozen: int | None = None

    @property
    def head(self) -> int:
        """The newest block that anybody sees."""
        return self._frozen if self._frozen is not None else self._now() + DEEP

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No block comes: what is settled meanwhile cannot be seen until it is over."""
        self._frozen = max(self._now(), self._newest())
        try:
            yield
        finally:
            self._frozen = None

    def settle(self, request: Mapping[str, Any]) -> str:
        """Move the money of a payment. Returns the transaction."""
        signed, wanted = signed_in(request), request["paymentRequirements"]
        payer, amount, token = signed["from"], int(wanted["amount"]), wanted["asset"].lower()
        self.used.add((payer, signed["nonce"]))
        self.balances[payer] = self.balances.get(payer, PLENTY) - amount
        self.balances[wanted["payTo"]] = self.balances.get(wanted["payTo"], 0) + amount
        topics = [[TRANSFER, _word(payer), _word(wanted["payTo"])]]
        if "validBefore" in signed:
            topics.insert(0, [USED, _word(payer), signed["nonce"].lower()])
        data = ["0x" if its[0] == USED else f"0x{amount:064x}" for its in topics]
        number = max(self._now(), self._newest(), self._frozen or 0) + 1
        transaction = "0x" + secrets.token_hex(32)
        where = {"blockNumber": hex(number), "blockHash": _hash(number)}
        logs = [
            {
                **where,
                "address": token,
                "topics": its,
                "data": said,
                "transactionHash": transaction,
                "logIndex": hex(index),
            }
            for index, (its, said) in enumerate(zip(topics, data, strict=True))
        ]
        fees = {"gasUsed": hex(80_000), "effectiveGasPrice": hex(10**9), "status": "0x1"}
        self._receipts.append({**where, **fees, "transactionHash": transaction, "logs": logs})
        return transaction

    # -------------------------------------------------------------------- As a node

    def answer(self, chain_id: int, method: str, parameters: list[Any]) -> Any:
        """The result of a JSON-RPC call. Raises `LookupError` for what it does not know."""
        answers: dict[str, Callable[[], Any]] = {
            "eth_chainId": lambda: hex(chain_id),
            "eth_blockNumber": lambda: hex(self.head),
            "eth_getBlockByNumber": lambda: self._block(parameters[0]),
            "eth_getTransactionReceipt": lambda: self._receipt(parameters[0]),
            "eth_getLogs": lambda: self._logs(parameters[0]),
            "eth_getCode": lambda: "0x",
            "eth_call": lambda: self._call(parameters[0]["data"]),
        }
        return answers[method]()

    def _now(self) -> int:
        return int((time.time() - self._genesis) * A_SECOND)

    def _newest(self) -> int:
        return int(self._receipts[-1]["blockNumber"], 16) if self._receipts else 0

    def _block(self, tag: str) -> dict[str, str] | None:
        number = int(tag, 16) if tag.startswith("0x") else self.head
        if number > self.head:
            return None
        at = int(self._genesis + number / A_SECOND)
        return {
            "number": hex(number),
            "hash": _hash(number),
            "timestamp": hex(at),
            "baseFeePerGas": hex(10**9),
        }

    def _seen(self) -> list[dict[str, Any]]:
        return [one for one in self._receipts if int(one["blockNumber"], 16) <= self.head]

    def _receipt(self, transaction: str) -> dict[str, Any] | None:
        found = (one for one in self._seen() if one["transactionHash"] == transaction)
        return next(found, None)

    def _logs(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        return [
            log
            for one in self._seen()
            if first <= int(one["blockNumber"], 16) <= last
            for log in one["logs"]
            if log["address"] == wanted["address"].lower() and _fits(log, wanted["topics"])
        ]

    def _call(self, data: str) -> str:
        if data.startswith(DECIMALS):
            return f"0x{6:064x}"
        if data.startswith(BALANCE):
            known = {address.lower(): units for address, units in self.balances.items()}
            return f"0x{known.get('0x' + data[-40:].lower(), PLENTY):064x}"
        if data.startswith(STATE):
            payer, nonce = "0x" + data[34:74].lower(), "0x" + data[74:138].lower()
            known_uses = {(one.lower(), its.lower()) for one, its in self.used}
            return f"0x{int((payer, nonce) in known_uses):064x}"
        raise LookupError(data[:10])


def _fits(log: Mapping[str, Any], topics: list[Any]) -> bool:
    """As `eth_getLogs` filters: None is any, a list is any of them."""
    for place, wanted in enumerate(topics):
        if wanted is None:
            continue
        choices = wanted if isinstance(wanted, list) else [wanted]
        if place >= len(log["topics"]) or log["topics"][place] not in choices:
            return False
    return True


def _word(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def _hash(number: int) -> str:
    return "0x" + keccak(text=f"block {number}").hex()
