"""A buyer that pays a challenge.

    def test_the_report_is_sold(client):
        challenge = client.get("/report/")
        paid = client.get("/report/", headers=Buyer().pays(challenge))

The signatures are real; whether money moves is up to the facilitator that the settings name.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

TYPES = {
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}

PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
PROXY_UP_TO = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"
"""Whom a wallet approves for a token, and who alone may spend what it signs."""

UP_TO_TYPES = {
    "PermitWitnessTransferFrom": [
        {"name": "permitted", "type": "TokenPermissions"},
        {"name": "spender", "type": "address"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
        {"name": "witness", "type": "Witness"},
    ],
    "TokenPermissions": [
        {"name": "token", "type": "address"},
        {"name": "amount", "type": "uint256"},
    ],
    "Witness": [
        {"name": "to", "type": "address"},
        {"name": "facilitator", "type": "address"},
        {"name": "validAfter", "type": "uint256"},
    ],
}
"""What is signed for what is charged by use: Permit2, with the witness of x402's scheme `upto`."""


def challenge_of(response: Any) -> dict[str, Any]:
    """The v2 challenge in a response's header."""
    data: dict[str, Any] = json.loads(base64.b64decode(response.headers["PAYMENT-REQUIRED"]))
    return data


def outcome_of(response: Any, header: str = "PAYMENT-RESPONSE") -> dict[str, Any]:
    """What a response says became of the payment."""
    data: dict[str, Any] = json.loads(base64.b64decode(response.headers[header]))
    return data


def mpp_challenge_of(response: Any) -> dict[str, str]:
    """The first MPP challenge in a response's `WWW-Authenticate`."""
    first = response.headers["WWW-Authenticate"].split("Payment ")[1]
    return dict(re.findall(r'(\w+)="([^"]*)"', first))


def encode(data: Any) -> str:
    """JSON in base64, as payment headers carry it."""
    return base64.b64encode(json.dumps(data).encode()).decode()


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _numbers(message: Any) -> Any:
    """Decimal strings as the numbers that are signed."""
    if isinstance(message, dict):
        return {key: _numbers(value) for key, value in message.items()}
    return int(message) if message.isdecimal() else message


@dataclass
class Buyer:
    """A wallet that signs what a challenge asks for; by default a new and empty one."""

    account: LocalAccount = field(default_factory=Account.create)

    def authorize(self, offer: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """An authorization for an offer, with fields changed before it is signed."""
        now = int(time.time())
        return {
            "from": self.account.address,
            "to": offer["payTo"],
            "value": offer["amount"],
            "validAfter": "0",
            "validBefore": str(now + offer["maxTimeoutSeconds"]),
            "nonce": "0x" + secrets.token_hex(32),
            **changes,
        }

    def sign(self, authorization: dict[str, Any], offer: dict[str, Any], **domain: Any) -> str:
        """The EIP-712 signature, 0x-prefixed hex. `domain` changes fields of the domain."""
        message = {
            key: int(value) if key in ("value", "validAfter", "validBefore") else value
            for key, value in authorization.items()
        }
        message["nonce"] = bytes.fromhex(authorization["nonce"][2:])
        full_domain = {
            "name": offer["extra"]["name"],
            "version": offer["extra"]["version"],
            "chainId": int(offer["network"].split(":")[1]),
            "verifyingContract": offer["asset"],
            **domain,
        }
        signable = encode_typed_data(full_domain, TYPES, message)
        return "0x" + self.account.sign_message(signable).signature.hex().removeprefix("0x")

    def allow(self, offer: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """What is signed for an offer that is charged by use, with fields changed before. The
        wallet must have approved Permit2; a double of a facilitator does not ask for that."""
        extra = offer["extra"]
        return {
            "from": self.account.address,
            "permitted": {"token": offer["asset"], "amount": offer["amount"]},
            "spender": PROXY_UP_TO,
            "nonce": str(secrets.randbits(256)),
            "deadline": str(int(time.time()) + offer["maxTimeoutSeconds"]),
            "witness": {
                "to": offer["payTo"],
                "facilitator": extra["facilitatorAddress"],
                "validAfter": "0",
            },
            **changes,
        }

    def sign_allowed(self, permit: dict[str, Any], offer: dict[str, Any]) -> str:
        """The EIP-712 signature of what `allow` returns."""
        chain_id = int(offer["network"].split(":")[1])
        domain = {"name": "Permit2", "chainId": chain_id, "verifyingContract": PERMIT2}
        message = {key: value for key, value in permit.items() if key != "from"}
        signed = self.account.sign_message(
            encode_typed_data(domain, UP_TO_TYPES, _numbers(message))
        )
        return "0x" + signed.signature.hex().removeprefix("0x")

    def _signed(self, offer: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        if offer["scheme"] == "upto":
            permit = self.allow(offer, **changes)
            return {
                "signature": self.sign_allowed(permit, offer),
                "permit2Authorization": permit,
            }
        authorization = self.authorize(offer, **changes)
        return {"signature": self.sign(authorization, offer), "authorization": authorization}

    def payload(self, response: Any, **changes: Any) -> dict[str, Any]:
        """A v2 payment payload for a 402 response. `changes` go into what is signed."""
        challenge = challenge_of(response)
        offer = challenge["accepts"][0]
        # Where the URL is too long for a header, the challenge leaves the resource out.
        resource = {"resource": challenge["resource"]} if "resource" in challenge else {}
        return {
            "x402Version": 2,
            **resource,
            "accepted": offer,
            "payload": self._signed(offer, changes),
        }

    def payload_v1(self, response: Any, **changes: Any) -> dict[str, Any]:
        """A v1 payment payload for a 402 response, on Base Sepolia."""
        payload = self.payload(response, **changes)
        return {
            "x402Version": 1,
            "scheme": "exact",
            "network": "base-sepolia",
            "payload": payload["payload"],
        }

    def pays(self, response: Any, **changes: Any) -> dict[str, str]:
        """The request headers that pay a 402 response."""
        return {"PAYMENT-SIGNATURE": encode(self.payload(response, **changes))}

    def pays_mpp(
        self, response: Any, *, header: str = "", by_list: bool = False, **changes: Any
    ) -> dict[str, str]:
        """The request headers that pay a 402 response in MPP. `by_list` makes the nonce as pympp
        does, otherwise as the draft has it; `header` is where the credential goes, if not where
        the challenge says."""
        challenge = mpp_challenge_of(response)
        request = json.loads(_unpadded(challenge["request"]))
        asked = challenge["id"], challenge["realm"]
        text = json.dumps(asked, separators=(",", ":")) if by_list else "".join(asked)
        ends = datetime.fromisoformat(challenge["expires"])
        offer = {
            "payTo": request["recipient"],
            "amount": request["amount"],
            "asset": request["currency"],
            "network": f"eip155:{request['methodDetails']['chainId']}",
            "maxTimeoutSeconds": 0,
            "extra": {"name": "USDC", "version": "2"},
        }
        own = {"validBefore": str(int(ends.timestamp())), "nonce": f"0x{keccak(text=text).hex()}"}
        authorization = self.authorize(offer, **{**own, **changes})
        payload = {"type": "authorization", **authorization}
        payload["signature"] = self.sign(authorization, offer)
        text = json.dumps({"challenge": challenge, "payload": payload})
        credential = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return {header or challenge.get("header") or "Authorization": f"Payment {credential}"}

    def pays_v1(self, response: Any, **changes: Any) -> dict[str, str]:
        """The request headers that pay a 402 response as a v1 client does."""
        return {"X-PAYMENT": encode(self.payload_v1(response, **changes))}
