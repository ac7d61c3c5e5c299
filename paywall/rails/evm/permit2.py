"""Permit2 `PermitWitnessTransferFrom` to x402's proxies: reading it, its digest, and its evidence.

For tokens without EIP-3009, or buyers who approved Permit2 once for all (x402 specs,
schemes/exact/scheme_exact_evm.md); and for what is charged by use (schemes/upto/
scheme_upto_evm.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak

from paywall.vocabulary import Finding, Undecided, Unspent

from .addresses import read_address, read_field, read_uint256, word
from .evidence import is_out_of_time, is_transfer, paid

if TYPE_CHECKING:
    from paywall.effects import Steps

    from .rpc import Node, TransactionReceipt

PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
PROXY = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001"
"""x402ExactPermit2Proxy: the only spender, which sends the money nowhere but to the witness."""
PROXY_UP_TO = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"
"""x402UptoPermit2Proxy: the same, of any part of the amount, and only for one facilitator."""

_PERMITTED = "TokenPermissions(address token,uint256 amount)"
_PERMITTED_TYPEHASH = keccak(text=_PERMITTED)


def _typehashes(witness: str) -> tuple[bytes, bytes]:
    """Of a permit with such a witness, and of the witness."""
    permit = (
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,"
        f"uint256 deadline,Witness witness){_PERMITTED}{witness}"
    )
    return keccak(text=permit), keccak(text=witness)


_EXACT = _typehashes("Witness(address to,uint256 validAfter)")
_UP_TO = _typehashes("Witness(address to,address facilitator,uint256 validAfter)")
_NONCE_BITMAP_SELECTOR = keccak(text="nonceBitmap(address,uint256)")[:4].hex()


@dataclass(frozen=True, slots=True)
class PermitTransfer:
    """What the payer signed. Addresses are checksummed."""

    payer: str
    token: str
    value: int
    spender: str
    nonce: int
    deadline: int
    """Unix seconds up to which Permit2 takes it."""
    to: str
    valid_after: int
    """Unix seconds from which the proxy takes it."""
    facilitator: str = ""
    """Who alone may settle it, and less than `value`; "" where it moves that value, by anybody."""

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> PermitTransfer:
        """From the `permit2Authorization` member of an x402 payload. Raises `ValueError`."""
        permitted, witness = fields.get("permitted"), fields.get("witness")
        if not isinstance(permitted, Mapping) or not isinstance(witness, Mapping):
            raise ValueError("permitted and witness are objects")
        return cls(
            payer=read_field(fields, "from", read_address),
            token=read_field(permitted, "permitted.token", read_address),
            value=read_field(permitted, "permitted.amount", read_uint256),
            spender=read_field(fields, "spender", read_address),
            nonce=read_field(fields, "nonce", read_uint256),
            deadline=read_field(fields, "deadline", read_uint256),
            to=read_field(witness, "witness.to", read_address),
            valid_after=read_field(witness, "witness.validAfter", read_uint256),
            facilitator=read_field(witness, "witness.facilitator", read_address)
            if "facilitator" in witness
            else "",
        )

    def json(self) -> dict[str, Any]:
        """The `permit2Authorization` member of an x402 payload, canonical."""
        return {
            "from": self.payer,
            "permitted": {"token": self.token, "amount": str(self.value)},
            "spender": self.spender,
            "nonce": str(self.nonce),
            "deadline": str(self.deadline),
            "witness": {
                "to": self.to,
                **({"facilitator": self.facilitator} if self.facilitator else {}),
                "validAfter": str(self.valid_after),
            },
        }

    def digest(self, chain_id: int) -> bytes:
        """The 32 bytes that were signed."""
        permitted = keccak(_PERMITTED_TYPEHASH + _address(self.token) + word(self.value))
        permit_typehash, witness_typehash = _UP_TO if self.facilitator else _EXACT
        facilitator = _address(self.facilitator) if self.facilitator else b""
        witness = keccak(
            witness_typehash + _address(self.to) + facilitator + word(self.valid_after)
        )
        struct = keccak(
            permit_typehash
            + permitted
            + _address(self.spender)
            + word(self.nonce)
            + word(self.deadline)
            + witness
        )
        return keccak(b"\x19\x01" + _domain(chain_id) + struct)


@dataclass(frozen=True, slots=True)
class Question:
    """Did this permit move so much of its token?"""

    permit: PermitTransfer
    value: int
    confirmations: int
    transaction: str = ""
    """Where the facilitator says that it happened, if it said so."""


def look(node: Node, question: Question) -> Steps[Finding]:
    """What the chain shows. Raises `NodeError`.

    Permit2 writes no log with the nonce. So a transaction is believed if the nonce is used, the
    transaction carries that nonce, and the token moved just that value from payer to payee in it.
    """
    permit = question.permit
    head = yield from node.block("latest")
    used = yield from _is_used(node, permit)
    reverted = False
    if question.transaction:
        receipt = yield from node.receipt(question.transaction)
        if receipt is not None:
            reverted = not receipt.succeeded
            if used and (yield from _moved(node, receipt, question)):
                return paid(receipt, head, question.confirmations)
    if used:
        return Undecided("the nonce is used; in which transaction is not known")
    never = yield from is_out_of_time(node, permit.deadline, question.confirmations, head)
    return Unspent(never=never, reverted=reverted)


def moved(receipt: TransactionReceipt, permit: PermitTransfer, value: int) -> bool:
    """Whether a transaction moved that value; if by this permit, its input tells."""
    return receipt.succeeded and any(
        is_transfer(log, permit.token, permit.payer, permit.to, value) for log in receipt.logs
    )


def _moved(node: Node, receipt: TransactionReceipt, question: Question) -> Steps[bool]:
    if not moved(receipt, question.permit, question.value):
        return False
    nonce = word(question.permit.nonce).hex()
    return nonce in (yield from node.transaction_input(receipt.transaction))


def _is_used(node: Node, permit: PermitTransfer) -> Steps[bool]:
    arguments = _address(permit.payer) + word(permit.nonce >> 8)
    data = f"0x{_NONCE_BITMAP_SELECTOR}{arguments.hex()}"
    bitmap = yield from node.number_call(PERMIT2, data)
    return bool(bitmap >> (permit.nonce & 0xFF) & 1)


@lru_cache(maxsize=64)
def _domain(chain_id: int) -> bytes:
    return keccak(
        keccak(text="EIP712Domain(string name,uint256 chainId,address verifyingContract)")
        + keccak(text="Permit2")
        + word(chain_id)
        + _address(PERMIT2)
    )


def _address(address: str) -> bytes:
    return word(int(address, 16))
