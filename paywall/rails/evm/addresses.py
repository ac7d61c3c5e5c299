"""Addresses, hashes and numbers as they come in from outside, read in one spelling."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from eth_utils.address import to_checksum_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

ZERO_ADDRESS = "0x" + "0" * 40
UINT256_MAX = 2**256 - 1

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_BYTES = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_DIGITS = re.compile(r"[0-9]{1,78}")


@lru_cache(maxsize=4096)
def checksum(address: str) -> str:
    """The EIP-55 spelling of `0x` and 40 hex digits in any case; `ValueError` for others."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"not an address: {address[:64]!r}")
    return str(to_checksum_address(address))


def shortened(address: str) -> str:
    """An address for people, who know it by its ends."""
    return f"{address[:6]}…{address[-4:]}"


def word(number: int) -> bytes:
    """A number as a 256-bit word, as contracts and EIP-712 encode it."""
    return number.to_bytes(32)


def topic(address: str) -> str:
    """An address as a log's topic, or as an argument of a call."""
    return "0x" + word(int(address, 16)).hex()


def is_checksummed(address: str) -> bool:
    """Whether mixed-case `address` carries a right EIP-55 checksum."""
    return bool(_ADDRESS.fullmatch(address)) and checksum(address) == address


def read_address(value: object) -> str:
    """An address from JSON, checksummed. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("an address is a string")
    return checksum(value)


def read_hash(value: object) -> str:
    """32 bytes in hex from JSON, in lower case. Raises `ValueError`."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError("not 32 bytes of 0x-prefixed hex")
    return value.lower()


def read_bytes(value: object, limit: int) -> bytes:
    """At most `limit` bytes in 0x-prefixed hex from JSON. Raises `ValueError`."""
    if not isinstance(value, str) or len(value) > 2 + 2 * limit or not _BYTES.fullmatch(value):
        raise ValueError("not 0x-prefixed hex of a sane length")
    return bytes.fromhex(value[2:])


def read_uint256(value: object) -> int:
    """An unsigned number as a string of ASCII digits, nothing else. Raises `ValueError`."""
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise ValueError("not a string of digits")
    number = int(value)
    if number > UINT256_MAX:
        raise ValueError("does not fit in 256 bits")
    return number


def read_field(fields: Mapping[str, object], path: str, read: Callable[[object], T]) -> T:
    """The field at the end of a path ("witness.to"), which the error names. Raises `ValueError`."""
    name = path.rpartition(".")[2]
    if name not in fields:
        raise ValueError(f"{path} is missing")
    try:
        return read(fields[name])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def is_transaction_hash(value: object) -> bool:
    """Whether `value` can name a transaction: 32 bytes of hex, not all zero."""
    return isinstance(value, str) and bool(_HASH.fullmatch(value)) and int(value, 16) != 0
