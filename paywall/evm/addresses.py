"""Addresses, hashes and numbers as they come in from outside, read in one spelling."""

from __future__ import annotations

import re
from functools import lru_cache

from eth_utils.address import to_checksum_address

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
        message = f"not an address: {address[:64]!r}"
        raise ValueError(message)
    return str(to_checksum_address(address))


def is_checksummed(address: str) -> bool:
    """Whether mixed-case `address` carries a right EIP-55 checksum."""
    return bool(_ADDRESS.fullmatch(address)) and checksum(address) == address


def read_address(value: object) -> str:
    """An address from JSON, checksummed. Raises `ValueError`."""
    if not isinstance(value, str):
        message = "an address is a string"
        raise ValueError(message)  # noqa: TRY004 - callers catch one error for bad input
    return checksum(value)


def read_hash(value: object) -> str:
    """32 bytes in hex from JSON, in lower case. Raises `ValueError`."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        message = "not 32 bytes of 0x-prefixed hex"
        raise ValueError(message)
    return value.lower()


def read_bytes(value: object, limit: int) -> bytes:
    """At most `limit` bytes in 0x-prefixed hex from JSON. Raises `ValueError`."""
    if not isinstance(value, str) or len(value) > 2 + 2 * limit or not _BYTES.fullmatch(value):
        message = "not 0x-prefixed hex of a sane length"
        raise ValueError(message)
    return bytes.fromhex(value[2:])


def read_uint256(value: object) -> int:
    """An unsigned number as a string of ASCII digits, nothing else. Raises `ValueError`."""
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        message = "not a string of digits"
        raise ValueError(message)
    number = int(value)
    if number > UINT256_MAX:
        message = "does not fit in 256 bits"
        raise ValueError(message)
    return number


def is_transaction_hash(value: object) -> bool:
    """Whether `value` can name a transaction: 32 bytes of hex, not all zero."""
    return isinstance(value, str) and bool(_HASH.fullmatch(value)) and int(value, 16) != 0
