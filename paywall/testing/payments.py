"""What a facilitator checks before it says yes, in x402's words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from eth_account import Account
from eth_account.messages import encode_typed_data

from .buyer import PERMIT2, PROXY_UP_TO, TYPES, UP_TO_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

PLENTY = 10**18
"""What a wallet has of which nobody said anything, in atomic units."""

FACILITATOR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
"""For whom buyers sign what is charged by use."""

SOON = 6
"""Seconds that a payment has to be good for still, as the official facilitator wants it."""


def signed_in(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the buyer signed: an authorization, or a permit."""
    payload = request["paymentPayload"]["payload"]
    found: dict[str, Any] = payload.get("authorization") or payload["permit2Authorization"]
    return found


def why_not(
    request: Mapping[str, Any], balances: Mapping[str, int], used: set[tuple[str, str]]
) -> str:
    """What x402 calls what is wrong with a payment; "" if nothing is."""
    payload, wanted = request["paymentPayload"]["payload"], request["paymentRequirements"]
    signed, now = payload.get("authorization"), time.time()
    if signed is None:
        return _why_not_up_to(request, balances, used) if wanted["scheme"] == "upto" else ""
    name = "invalid_exact_evm_payload_"
    if signed["to"].lower() != wanted["payTo"].lower():
        return f"{name}recipient_mismatch"
    if signed["value"] != wanted["amount"]:
        return f"{name}authorization_value_mismatch"
    if int(signed["validAfter"]) > now:
        return f"{name}authorization_valid_after"
    if int(signed["validBefore"]) <= now + SOON:
        return f"{name}authorization_valid_before"
    if signer_of(payload, wanted) != signed["from"]:
        return f"{name}signature"
    if (signed["from"], signed["nonce"]) in used:
        return "invalid_exact_evm_nonce_already_used"
    if balances.get(signed["from"], PLENTY) < int(signed["value"]):
        return "insufficient_funds"
    return ""


def _why_not_up_to(
    request: Mapping[str, Any], balances: Mapping[str, int], used: set[tuple[str, str]]
) -> str:
    wanted, accepted = request["paymentRequirements"], request["paymentPayload"]["accepted"]
    payload, signed = request["paymentPayload"]["payload"], signed_in(request)
    most = int(signed["permitted"]["amount"])
    if accepted["amount"] != signed["permitted"]["amount"]:
        return "permit2_amount_mismatch"
    if int(wanted["amount"]) > most:
        return "invalid_upto_evm_payload_settlement_exceeds_amount"
    if signed["witness"]["to"] != wanted["payTo"]:
        return "invalid_permit2_recipient_mismatch"
    if signed["witness"]["facilitator"] != FACILITATOR:
        return "upto_facilitator_mismatch"
    if int(signed["deadline"]) <= time.time() + SOON:
        return "permit2_deadline_expired"
    if up_to_signer_of(payload["signature"], signed, wanted) != signed["from"]:
        return "invalid_permit2_signature"
    if (signed["from"], signed["nonce"]) in used:
        return "permit2_invalid_nonce"
    if balances.get(signed["from"], PLENTY) < int(wanted["amount"]):
        return "permit2_insufficient_balance"
    return ""


def signer_of(payload: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Who signed it, by eth-account and not by the code that is under test."""
    signed = payload["authorization"]
    numbers = ("value", "validAfter", "validBefore")
    message = {key: int(value) if key in numbers else value for key, value in signed.items()}
    message["nonce"] = bytes.fromhex(signed["nonce"][2:])
    domain = {
        "name": wanted["extra"]["name"],
        "version": wanted["extra"]["version"],
        "chainId": int(wanted["network"].split(":")[1]),
        "verifyingContract": wanted["asset"],
    }
    signable = encode_typed_data(domain, TYPES, message)
    try:
        return str(Account.recover_message(signable, signature=payload["signature"]))
    except Exception:
        return ""


def up_to_signer_of(signature: str, signed: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The same of what is charged by use."""
    witness, permitted = signed["witness"], signed["permitted"]
    message = {
        "permitted": {"token": permitted["token"], "amount": int(permitted["amount"])},
        "spender": PROXY_UP_TO,
        "nonce": int(signed["nonce"]),
        "deadline": int(signed["deadline"]),
        "witness": {**witness, "validAfter": int(witness["validAfter"])},
    }
    domain = {
        "name": "Permit2",
        "chainId": int(wanted["network"].split(":")[1]),
        "verifyingContract": PERMIT2,
    }
    signable = encode_typed_data(domain, UP_TO_TYPES, message)
    return str(Account.recover_message(signable, signature=signature))
