"""What the tests against a real chain share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from django.test import Client
from eth_account import Account
from eth_account.messages import encode_typed_data
from x402.schemas import PaymentRequirements

from paywall.testing import Buyer, challenge_of, encode
from site_demo.chain.local import CHAIN_ID, USDC, LocalChain
from tests.doubles import Answer

TRANSFER = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"


def submit(chain: LocalChain, payload: dict[str, Any]) -> str:
    """Anybody may put a buyer's authorization on the chain."""
    inner = payload["payload"]["authorization"]
    return chain.send(
        TRANSFER,
        inner["from"],
        inner["to"],
        int(inner["value"]),
        int(inner["validAfter"]),
        int(inner["validBefore"]),
        bytes.fromhex(inner["nonce"][2:]),
        bytes.fromhex(payload["payload"]["signature"][2:]),
    )


def cancel(chain: LocalChain, buyer: Buyer, payload: dict[str, Any]) -> str:
    """The buyer takes an authorization back before anybody submits it."""
    nonce = bytes.fromhex(payload["payload"]["authorization"]["nonce"][2:])
    domain = {"name": "USDC", "version": "2", "chainId": CHAIN_ID, "verifyingContract": USDC}
    types = {
        "CancelAuthorization": [
            {"name": "authorizer", "type": "address"},
            {"name": "nonce", "type": "bytes32"},
        ]
    }
    message = {"authorizer": buyer.account.address, "nonce": nonce}
    signed = buyer.account.sign_message(encode_typed_data(domain, types, message))
    return chain.send(
        "cancelAuthorization(address,bytes32,bytes)",
        buyer.account.address,
        nonce,
        bytes(signed.signature),
    )


def signed_for(response: Any, make: Callable[[PaymentRequirements], dict[str, Any]]) -> Any:
    """The payment of the first offer, as an official client makes what is signed."""
    challenge = challenge_of(response)
    offer = challenge["accepts"][0]
    payload = make(PaymentRequirements.model_validate(offer))
    v2 = {"x402Version": 2, "resource": challenge["resource"], "accepted": offer}
    return {**v2, "payload": payload}


def pay(client: Client, payload: dict[str, Any]) -> Any:
    return client.get("/item/", headers={"PAYMENT-SIGNATURE": encode(payload)})


def settles_and_dies(url: str) -> Answer:
    """The official facilitator settles; its answer gets lost on the way."""

    def settle(body: dict[str, Any]) -> None:
        httpx.post(f"{url}/settle", json=body, timeout=30).raise_for_status()

    return Answer(die=True, before=settle)


@contextmanager
def spoiled(chain: LocalChain, trouble: str) -> Iterator[Buyer]:
    """A new buyer that is poor or blacklisted, or has money while the token is paused."""
    wallet = Account.create()
    if trouble != "poor":
        chain.mint(wallet.address, 10_000)
    if trouble == "paused":
        chain.send("setPaused(bool)", True)
    if trouble == "blacklisted":
        chain.send("setBlacklisted(address,bool)", wallet.address, True)
    try:
        yield Buyer(wallet)
    finally:
        chain.send("setPaused(bool)", False)
