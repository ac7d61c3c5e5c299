"""EIP-3009 `TransferWithAuthorization`: reading it, its EIP-712 digest, and who signed it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from coincurve import PublicKey
from eth_utils.crypto import keccak

from .addresses import checksum, read_address, read_bytes, read_field, read_hash, read_uint256, word

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSFER_TYPEHASH = keccak(
    text=(
        "TransferWithAuthorization(address from,address to,uint256 value,"
        "uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    )
)
DOMAIN_TYPEHASH = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
TRANSFER_TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
AUTHORIZATION_USED_TOPIC = "0x" + keccak(text="AuthorizationUsed(address,bytes32)").hex()
AUTHORIZATION_CANCELED_TOPIC = "0x" + keccak(text="AuthorizationCanceled(address,bytes32)").hex()
BALANCE_SELECTOR = "0x" + keccak(text="balanceOf(address)")[:4].hex()
AUTHORIZATION_STATE_SELECTOR = "0x" + keccak(text="authorizationState(address,bytes32)")[:4].hex()

PLAIN_SIGNATURE_BYTES = 65
MAX_SIGNATURE_BYTES = 2048
"""A contract wallet's signature may wrap its deployment (ERC-6492); beyond this it is noise."""

_SECP256K1_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, slots=True)
class TransferAuthorization:
    """What the payer signed. Addresses are checksummed, the nonce is lower-case hex."""

    payer: str
    to: str
    value: int
    valid_after: int
    """Unix seconds; the token wants `now > valid_after`."""
    valid_before: int
    """Unix seconds; the token wants `now < valid_before`."""
    nonce: str

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> TransferAuthorization:
        """From the `authorization` member of an x402 payload. Raises `ValueError`."""
        return cls(
            payer=read_field(fields, "authorization.from", read_address),
            to=read_field(fields, "authorization.to", read_address),
            value=read_field(fields, "authorization.value", read_uint256),
            valid_after=read_field(fields, "authorization.validAfter", read_uint256),
            valid_before=read_field(fields, "authorization.validBefore", read_uint256),
            nonce=read_field(fields, "authorization.nonce", read_hash),
        )

    def json(self) -> dict[str, str]:
        """The `authorization` member of an x402 payload, canonical."""
        return {
            "from": self.payer,
            "to": self.to,
            "value": str(self.value),
            "validAfter": str(self.valid_after),
            "validBefore": str(self.valid_before),
            "nonce": self.nonce,
        }

    def digest(self, domain: bytes) -> bytes:
        """The 32 bytes that were signed, under an EIP-712 `domain_separator`."""
        struct = keccak(
            TRANSFER_TYPEHASH
            + word(int(self.payer, 16))
            + word(int(self.to, 16))
            + word(self.value)
            + word(self.valid_after)
            + word(self.valid_before)
            + bytes.fromhex(self.nonce[2:])
        )
        return keccak(b"\x19\x01" + domain + struct)


@lru_cache(maxsize=1024)
def domain_separator(name: str, version: str, chain_id: int, token: str) -> bytes:
    """The EIP-712 domain of a token contract (EIP-712, "Definition of domainSeparator")."""
    return keccak(
        DOMAIN_TYPEHASH
        + keccak(text=name)
        + keccak(text=version)
        + word(chain_id)
        + word(int(token, 16))
    )


def read_signature(value: object) -> bytes:
    """A signature from JSON; a plain key's comes out with v 27 or 28. Raises `ValueError`."""
    signature = read_bytes(value, MAX_SIGNATURE_BYTES)
    if not signature:
        raise ValueError("the signature is empty")
    if len(signature) == PLAIN_SIGNATURE_BYTES and signature[64] in (0, 1):
        return signature[:64] + bytes([signature[64] + 27])
    return signature


def signer(digest: bytes, signature: bytes) -> str | None:
    """The checksummed address whose key made a plain signature, or None.

    A high s is None: the token refuses it (EIP-2), and it would spell one signature twice.
    """
    if len(signature) != PLAIN_SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64]) > _SECP256K1_HALF_ORDER:
        return None
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    except Exception:
        return None
    return checksum("0x" + keccak(key.format(compressed=False)[1:])[-20:].hex())
