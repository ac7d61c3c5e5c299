"""A chain, a node and a facilitator that exist only in memory, and misbehave when told to.

They answer what the paywall sends over HTTP, in the place of the HTTP client: thousands of
histories in the time in which a real node sees ten. `end_to_end/` has the real ones.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from paywall.effects import Send
from paywall.rails.evm.addresses import checksum, topic, word
from paywall.rails.evm.eip3009 import (
    AUTHORIZATION_CANCELED_TOPIC,
    AUTHORIZATION_STATE_SELECTOR,
    AUTHORIZATION_USED_TOPIC,
    BALANCE_SELECTOR,
    TRANSFER_TOPIC,
    TransferAuthorization,
)
from paywall.rails.evm.transactions import MULTICALL3
from site_demo.chain.local import CHAIN_ID, NETWORK, USDC

FACILITATOR = "http://facilitator.invalid"
NODE = "http://node.invalid"

_FIELDS = ["address", "address", "uint256", "uint256", "uint256", "bytes32"]
_TYPES = {
    keccak(text=f"transferWithAuthorization({','.join(types)})")[:4]: types
    for types in ([*_FIELDS, "uint8", "bytes32", "bytes32"], [*_FIELDS, "bytes"])
}


def of_call(data: bytes) -> TransferAuthorization:
    """The authorization in a call of `transferWithAuthorization`."""
    payer, to, value, after, before, nonce, *_ = decode(_TYPES[data[:4]], data[4:])
    return TransferAuthorization(
        checksum(payer), checksum(to), value, after, before, "0x" + nonce.hex()
    )


@dataclass(frozen=True)
class Tx:
    """A transaction: authorizations to use, or one to cancel."""

    hash: str
    sender: str
    nonce: int | None
    """None: from somebody whose nonces nobody looks at."""
    calls: tuple[TransferAuthorization, ...]
    may_fail_alone: bool = False
    cancels: bool = False


@dataclass
class Block:
    timestamp: int
    hash: str
    receipts: list[dict[str, Any]] = field(default_factory=list)
    txs: list[Tx] = field(default_factory=list)


@dataclass
class State:
    """What the chain says at its head."""

    balances: dict[str, int]
    used: dict[tuple[str, str], str]
    """By payer and nonce: "used" or "cancelled"."""
    nonces: dict[str, int]


class World:
    """All of it, and the time."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.real_time = time.time
        self.started = int(self.real_time())
        self.money: list[tuple[int, str, int]] = []
        """What came or went otherwise: from which block on, whose, how much."""
        self.blocks = [Block(self.started, _hash())]
        self.pending: list[Tx] = []
        self.node = "up"
        self.facilitator = "works"
        self.instant = True

    # ------------------------------------------------------------------------- Time

    def time(self) -> float:
        return self.real_time() + self.offset

    # ------------------------------------------------------------------------ Chain

    def state(self) -> State:
        state = State({}, {}, {})
        for number, block in enumerate(self.blocks):
            self._mint(state, number)
            for tx in block.txs:
                self._execute(state, tx, block.timestamp)
        return state

    def mine(self, number: int = 1) -> None:
        for _ in range(number):
            timestamp = max(int(self.time()), self.blocks[-1].timestamp)
            block = Block(timestamp, _hash())
            state = self.state()
            self._mint(state, len(self.blocks))
            kept = []
            for tx in self.pending:
                if tx.nonce is not None and tx.nonce != state.nonces.get(tx.sender, 0):
                    if tx.nonce > state.nonces.get(tx.sender, 0):
                        kept.append(tx)
                    continue
                logs, succeeded = self._execute(state, tx, timestamp)
                block.txs.append(tx)
                block.receipts.append(self._receipt(tx, block, len(self.blocks), logs, succeeded))
            self.pending = kept
            self.blocks.append(block)

    def mint(self, address: str, units: int) -> None:
        """Money comes, or goes if it is negative, in the next block."""
        self.money.append((len(self.blocks), address, units))
        self.mine()

    def _mint(self, state: State, block_number: int) -> None:
        for since, address, units in self.money:
            if since == block_number:
                state.balances[address] = max(0, state.balances.get(address, 0) + units)

    def reorganise(self, depth: int, *, keep: bool) -> None:
        """The newest blocks vanish; `keep` puts their transactions back into the pool."""
        depth = min(depth, len(self.blocks) - 1)
        if not depth:
            return
        gone = self.blocks[-depth:]
        del self.blocks[-depth:]
        if keep:
            self.pending = [tx for block in gone for tx in block.txs] + self.pending
        self.mine(depth)

    def submit(self, tx: Tx) -> None:
        if tx.hash not in {known.hash for known in self.pending}:
            self.pending.append(tx)
        if self.instant:
            self.mine()

    def front_run(self, authorization: TransferAuthorization) -> None:
        self.submit(Tx(_hash(), "anybody", None, (authorization,)))

    def cancel(self, authorization: TransferAuthorization) -> None:
        self.submit(Tx(_hash(), "payer", None, (authorization,), cancels=True))

    def is_used(self, authorization: TransferAuthorization) -> bool:
        return self.state().used.get((authorization.payer, authorization.nonce)) == "used"

    def _execute(
        self, state: State, tx: Tx, timestamp: int
    ) -> tuple[list[tuple[tuple[str, ...], str]], bool]:
        """Change the state; the logs, as topics and data, and whether it succeeded."""
        if tx.nonce is not None:
            state.nonces[tx.sender] = state.nonces.get(tx.sender, 0) + 1
        logs: list[tuple[tuple[str, ...], str]] = []
        for call in tx.calls:
            key = (call.payer, call.nonce)
            if key in state.used:
                if not tx.may_fail_alone:
                    return [], False
                continue
            if tx.cancels:
                state.used[key] = "cancelled"
                logs.append(((AUTHORIZATION_CANCELED_TOPIC, topic(call.payer), call.nonce), "0x"))
                continue
            if why_not(state, call, timestamp):
                if not tx.may_fail_alone:
                    return [], False
                continue
            state.used[key] = "used"
            state.balances[call.payer] -= call.value
            state.balances[call.to] = state.balances.get(call.to, 0) + call.value
            logs.append(((AUTHORIZATION_USED_TOPIC, topic(call.payer), call.nonce), "0x"))
            data = "0x" + word(call.value).hex()
            logs.append(((TRANSFER_TOPIC, topic(call.payer), topic(call.to)), data))
        return logs, True

    def _receipt(
        self, tx: Tx, block: Block, number: int, logs: list[Any], succeeded: bool
    ) -> dict[str, Any]:
        first = sum(len(receipt["logs"]) for receipt in block.receipts)
        return {
            "transactionHash": tx.hash,
            "status": hex(succeeded),
            "blockNumber": hex(number),
            "blockHash": block.hash,
            "gasUsed": hex(50_000),
            "logs": [
                {
                    "address": USDC.lower(),
                    "topics": list(topics),
                    "data": data,
                    "transactionHash": tx.hash,
                    "blockNumber": hex(number),
                    "blockHash": block.hash,
                    "logIndex": hex(first + index),
                }
                for index, (topics, data) in enumerate(logs)
            ],
        }

    # ------------------------------------------------------------------------- HTTP

    def answer(self, step: Send) -> httpx.Response:
        """In the place of the HTTP client."""
        request = httpx.Request(step.method, step.url)
        if step.url.startswith(FACILITATOR):
            status, body = self._facilitator(step)
        else:
            if self.node == "down":
                raise httpx.ConnectError("down", request=request)
            status, body = 200, {"jsonrpc": "2.0", "id": 1, **self._rpc(step.json)}
        return httpx.Response(status, content=json.dumps(body), request=request)

    def _facilitator(self, step: Send) -> tuple[int, Any]:
        request = httpx.Request(step.method, step.url)
        payload = step.json["paymentPayload"]["payload"]
        if step.url.endswith("/verify"):
            return 200, {"isValid": True}
        authorization = TransferAuthorization.read(payload["authorization"])
        state = self.state()
        match self.facilitator:
            case "busy":
                return 429, {}
            case "down":
                raise httpx.ConnectError("down", request=request)
            case "refuses":
                return 200, self._settled(False, error="insufficient_funds")
            case "lost before":
                raise httpx.ReadTimeout("lost", request=request)
            case "lies":
                return 200, self._settled(True, _hash())
        if (authorization.payer, authorization.nonce) in state.used:
            return 200, self._settled(False, error="invalid_exact_evm_nonce_already_used")
        if why_not(state, authorization, int(self.time())):
            return 200, self._settled(False, error="insufficient_funds")
        tx = Tx(_hash(), "facilitator", None, (authorization,))
        self.submit(tx)
        if self.facilitator == "lost after":
            raise httpx.ReadTimeout("lost", request=request)
        if not self.instant:
            return 200, self._settled(False, tx.hash, error="settlement_pending")
        return 200, self._settled(True, tx.hash)

    def _settled(self, success: bool, tx: str = "", error: str = "") -> dict[str, Any]:
        more = {"errorReason": error} if error else {}
        return {"success": success, "transaction": tx, "network": NETWORK, **more}

    def _rpc(self, body: dict[str, Any]) -> dict[str, Any]:
        method, parameters = body["method"], body["params"]
        try:
            return {"result": getattr(self, f"_{method}")(*parameters)}
        except Revert as revert:
            return {"error": {"code": 3, "message": f"execution reverted: {revert}"}}

    def _head(self) -> int:
        return max(0, len(self.blocks) - 1 - (2 if self.node == "behind" else 0))

    def _eth_chainId(self) -> str:
        return hex(CHAIN_ID)

    def _eth_getBlockByNumber(self, tag: str, _: bool) -> dict[str, Any] | None:
        number = self._head() if tag == "latest" else int(tag, 16)
        if number > self._head():
            return None
        block = self.blocks[number]
        return {
            "number": hex(number),
            "timestamp": hex(block.timestamp),
            "hash": block.hash,
            "baseFeePerGas": hex(10**9),
        }

    def _eth_getTransactionReceipt(self, hash_: str) -> dict[str, Any] | None:
        for block in self.blocks[: self._head() + 1]:
            for receipt in block.receipts:
                if receipt["transactionHash"] == hash_:
                    return receipt
        return None

    def _eth_getLogs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        found = []
        for block in self.blocks[first : min(last, self._head()) + 1]:
            for receipt in block.receipts:
                found += [log for log in receipt["logs"] if _fits(log["topics"], query["topics"])]
        return found

    def _eth_maxPriorityFeePerGas(self) -> str:
        return hex(10**9)

    def _eth_getCode(self, *_: Any) -> str:
        return "0x"

    def _eth_getBalance(self, *_: Any) -> str:
        return hex(10**20)

    def _eth_getTransactionCount(self, address: str, tag: str) -> str:
        count = self.state().nonces.get(checksum(address), 0)
        if tag == "pending":
            waiting = {tx.nonce for tx in self.pending if tx.sender == checksum(address)}
            while count in waiting:
                count += 1
        return hex(count)

    def _eth_call(self, call: dict[str, Any], _: str) -> str:
        data = bytes.fromhex(call["data"][2:])
        state, now = self.state(), int(self.time())
        if checksum(call["to"]) == MULTICALL3:
            results = [
                (not why, b"") if (why := _why_used(state, inner, now)) is None else (False, b"")
                for inner in _inner_calls(data)
            ]
            return "0x" + encode(["(bool,bytes)[]"], [results]).hex()
        selector = "0x" + data[:4].hex()
        if selector == BALANCE_SELECTOR:
            owner = checksum("0x" + data[-20:].hex())
            return "0x" + word(state.balances.get(owner, 0)).hex()
        if selector == AUTHORIZATION_STATE_SELECTOR:
            payer, nonce = checksum("0x" + data[16:36].hex()), "0x" + data[36:68].hex()
            return "0x" + word(int((payer, nonce) in state.used)).hex()
        why = _why_used(state, of_call(data), now)
        if why:
            raise Revert(why)
        return "0x"

    def _eth_sendRawTransaction(self, raw: str) -> str:
        tx = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        sender = Account.recover_transaction(raw)
        data, to = bytes(tx["data"]), checksum("0x" + bytes(tx["to"]).hex())
        batch = to == MULTICALL3
        calls = _inner_calls(data) if batch else (of_call(data),)
        hash_ = "0x" + keccak(HexBytes(raw)).hex()
        if int(tx["nonce"]) >= self.state().nonces.get(sender, 0):
            self.submit(Tx(hash_, sender, int(tx["nonce"]), calls, batch))
        return hash_


class Revert(Exception):
    """A contract says no."""


def why_not(state: State, call: TransferAuthorization, now: int) -> str:
    """Why the token would refuse a fresh authorization; empty if it would not."""
    if now >= call.valid_before:
        return "FiatTokenV2: authorization is expired"
    if state.balances.get(call.payer, 0) < call.value:
        return "ERC20: transfer amount exceeds balance"
    return ""


def _why_used(state: State, call: TransferAuthorization, now: int) -> str | None:
    if (call.payer, call.nonce) in state.used:
        return "FiatTokenV2: authorization is used or canceled"
    return why_not(state, call, now) or None


def _inner_calls(data: bytes) -> tuple[TransferAuthorization, ...]:
    (calls,) = decode(["(address,bool,bytes)[]"], data[4:])
    return tuple(of_call(inner) for _, _, inner in calls)


def _fits(topics: list[str], wanted: list[Any]) -> bool:
    for position, choice in enumerate(wanted):
        if choice is None:
            continue
        options = choice if isinstance(choice, list) else [choice]
        if position >= len(topics) or topics[position] not in options:
            return False
    return True


def _hash() -> str:
    return "0x" + secrets.token_hex(32)
