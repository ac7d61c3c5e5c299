"""Transactions of our own: fees (EIP-1559), signing, and many calls in one by Multicall3."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_account import Account
from eth_utils.crypto import keccak

from .eip3009 import PLAIN_SIGNATURE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eth_account.signers.local import LocalAccount
    from eth_typing import HexStr

    from paywall.secret import Secret

    from .eip3009 import TransferAuthorization

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""Where Multicall3 lives on every chain that has it (mds1/multicall)."""

GWEI = 10**9

GAS_BASE = 60_000
"""What a transaction costs before its first transfer, with room."""

GAS_EACH = 110_000
"""What a transfer by authorization may cost: some tokens are proxies, some wallets contracts."""

_MORE = 9, 8
"""A node takes a replacement for an eighth more, not less (geth's price bump is a tenth)."""


def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]


_FIELDS = "address,address,uint256,uint256,uint256,bytes32"
_TYPES = _FIELDS.split(",")
_BY_VRS = _selector(f"transferWithAuthorization({_FIELDS},uint8,bytes32,bytes32)")
_BY_BYTES = _selector(f"transferWithAuthorization({_FIELDS},bytes)")
_TRANSFER = _selector("transfer(address,uint256)")
_AGGREGATE = _selector("aggregate3((address,bool,bytes)[])")


@dataclass(frozen=True, slots=True)
class Fees:
    """What is offered for a unit of gas, in wei."""

    most: int
    """`maxFeePerGas`"""
    tip: int
    """`maxPriorityFeePerGas`"""

    @classmethod
    def now(cls, base: int, tip: int, ceiling: int) -> Fees:
        """Enough for the next blocks: the base fee may double before it is too little."""
        most = min(2 * base + tip, ceiling)
        return cls(most, min(tip, most))

    def raised(self, now: Fees, ceiling: int) -> Fees | None:
        """For a replacement: enough for nodes to take it. None if that is beyond the ceiling."""
        more, of = _MORE
        most = max(now.most, self.most * more // of + 1)
        tip = max(now.tip, self.tip * more // of + 1)
        return Fees(max(most, tip), tip) if max(most, tip) <= ceiling else None


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction to be signed."""

    chain_id: int
    nonce: int
    to: str
    data: str
    """0x-prefixed hex."""
    gas: int
    fees: Fees


@dataclass(frozen=True, slots=True)
class Signed:
    hash: str
    raw: bytes


@cache
def wallet(key: Secret) -> LocalAccount:
    """The account of a private key in hex."""
    account: LocalAccount = Account.from_key(key.reveal())
    return account


def sign(draft: Draft, key: Secret) -> Signed:
    """Sign. The same draft and key make the same bytes, so that sending can be repeated."""
    signed = wallet(key).sign_transaction(
        {
            "type": 2,
            "chainId": draft.chain_id,
            "nonce": draft.nonce,
            "to": cast("HexStr", draft.to),
            "value": 0,
            "data": cast("HexStr", draft.data),
            "gas": draft.gas,
            "maxFeePerGas": draft.fees.most,
            "maxPriorityFeePerGas": draft.fees.tip,
        }
    )
    return Signed("0x" + signed.hash.hex().removeprefix("0x"), bytes(signed.raw_transaction))


def transfer_with_authorization(authorization: TransferAuthorization, signature: bytes) -> str:
    """The call that settles an authorization (EIP-3009), in the form its signature asks for."""
    values = [
        authorization.payer,
        authorization.to,
        authorization.value,
        authorization.valid_after,
        authorization.valid_before,
        bytes.fromhex(authorization.nonce[2:]),
    ]
    if len(signature) == PLAIN_SIGNATURE_BYTES:
        types = [*_TYPES, "uint8", "bytes32", "bytes32"]
        by_parts = [*values, signature[64], signature[:32], signature[32:64]]
        return "0x" + (_BY_VRS + encode(types, by_parts)).hex()
    return "0x" + (_BY_BYTES + encode([*_TYPES, "bytes"], [*values, signature])).hex()


def transfer(to: str, value: int) -> str:
    """The call of an ERC-20's `transfer`."""
    return "0x" + (_TRANSFER + encode(["address", "uint256"], [to, value])).hex()


def aggregate(calls: Sequence[tuple[str, str]]) -> str:
    """Multicall3's `aggregate3`: each call (contract, data) may fail alone."""
    each = [(to, True, bytes.fromhex(data[2:])) for to, data in calls]
    return "0x" + (_AGGREGATE + encode(["(address,bool,bytes)[]"], [each])).hex()


def read_aggregate(answer: str) -> list[tuple[bool, bytes]]:
    """What each call of an `aggregate3` came to: success, and its data. Raises `ValueError`."""
    try:
        (results,) = decode(["(bool,bytes)[]"], bytes.fromhex(answer[2:]))
    except (DecodingError, OverflowError) as error:
        raise ValueError(f"not an answer of Multicall3: {answer[:80]}") from error
    return list(results)
