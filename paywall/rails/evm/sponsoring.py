"""Buyers who never approved Permit2 may sign that as well, and whoever settles pays the gas.

(x402 specs, extensions/eip2612_gas_sponsoring.) An EIP-2612 permit of the token, which travels
beside the payment and is submitted with it, in one transaction.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from paywall.exceptions import Code, Refused

from .addresses import read_address, read_uint256
from .eip3009 import PLAIN_SIGNATURE_BYTES, read_signature
from .permit2 import PERMIT2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .permit2 import PermitTransfer

NAME = "eip2612GasSponsoring"

SHORTEST = 6
"""Seconds that must be left, as for the payment itself."""

_ADDRESS = {"type": "string", "pattern": "^0x[a-fA-F0-9]{40}$"}
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
_FIELDS = {
    "from": _ADDRESS,
    "asset": _ADDRESS,
    "spender": _ADDRESS,
    "amount": _NUMBER,
    "nonce": _NUMBER,
    "deadline": _NUMBER,
    "signature": {"type": "string", "pattern": "^0x[a-fA-F0-9]+$"},
    "version": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$"},
}
DECLARATION = {
    "info": {
        "description": "An EIP-2612 permit for Permit2, signed beside the payment, is enough.",
        "version": "1",
    },
    "schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": _FIELDS,
        "required": list(_FIELDS),
    },
}
"""What a challenge says of it."""


def read(extensions: Mapping[str, Any], permit: PermitTransfer) -> dict[str, Any]:
    """What was signed beside a payment, canonical, as the `extensions` of its payload; empty where
    nothing was. Raises `Refused` where it is for something else."""
    declared = extensions.get(NAME)
    info = declared.get("info") if isinstance(declared, dict) else None
    if not isinstance(info, dict) or "signature" not in info:
        return {}
    try:
        found = {
            "from": read_address(info.get("from")),
            "asset": read_address(info.get("asset")),
            "spender": read_address(info.get("spender")),
            "amount": str(read_uint256(info.get("amount"))),
            "nonce": str(read_uint256(info.get("nonce"))),
            "deadline": str(read_uint256(info.get("deadline"))),
            "signature": "0x" + read_signature(info["signature"]).hex(),
            "version": "1",
        }
    except ValueError as error:
        raise _refused(str(error)) from error
    if len(found["signature"]) != 2 + 2 * PLAIN_SIGNATURE_BYTES:
        raise _refused("the signature is not a plain key's")
    if (found["from"], found["asset"], found["spender"]) != (permit.payer, permit.token, PERMIT2):
        raise _refused("it is another wallet's, of another token, or for another spender")
    if int(found["amount"]) < permit.value:
        raise _refused("it allows less than the payment")
    if int(found["deadline"]) <= time.time() + SHORTEST:
        raise _refused("it has expired")
    return {NAME: {"info": found}}


def _refused(why: str) -> Refused:
    return Refused(Code.INVALID_PAYLOAD, f"{NAME}: {why}.", status=400)
