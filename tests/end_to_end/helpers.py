"""What the tests against a real chain share."""

from __future__ import annotations

from typing import Any

import httpx
from django.test import Client

from paywall.testing import encode
from site_demo.chain.local import LocalChain
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


def pay(client: Client, payload: dict[str, Any]) -> Any:
    return client.get("/item/", headers={"PAYMENT-SIGNATURE": encode(payload)})


def settles_and_dies(url: str) -> Answer:
    """The official facilitator settles; its answer gets lost on the way."""

    def settle(body: dict[str, Any]) -> None:
        httpx.post(f"{url}/settle", json=body, timeout=30).raise_for_status()

    return Answer(die=True, before=settle)
