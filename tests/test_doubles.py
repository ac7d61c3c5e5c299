"""A double that says yes to everything hides what it is given: by default ours does not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from paywall.testing import Buyer
from tests.doubles import Double

OFFER = {
    "scheme": "exact",
    "network": "eip155:84532",
    "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "amount": "10000",
    "payTo": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "maxTimeoutSeconds": 300,
    "extra": {"name": "USDC", "version": "2"},
}


def asked(buyer: Buyer, **changes: Any) -> dict[str, Any]:
    authorization = buyer.authorize(OFFER, **changes)
    signature = buyer.sign(authorization, OFFER)
    payload = {"signature": signature, "authorization": authorization}
    return {"paymentPayload": {"payload": payload}, "paymentRequirements": OFFER}


def test_it_says_yes_to_what_is_right():
    double, request = Double(), asked(Buyer())
    assert double.why_not(request) == ""
    assert double._honest_settle(request).body(request)["success"] is True
    assert double.why_not(request) == "invalid_exact_evm_nonce_already_used"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to": "0x" + "1" * 40}, "recipient_mismatch"),
        ({"value": "9999"}, "authorization_value_mismatch"),
        ({"validAfter": str(2**40)}, "authorization_valid_after"),
        ({"validBefore": "1"}, "authorization_valid_before"),
        ({"validBefore": str(int(time.time()) + 5)}, "authorization_valid_before"),
    ],
)
def test_it_says_what_is_wrong(changes, reason):
    assert Double().why_not(asked(Buyer(), **changes)) == f"invalid_exact_evm_payload_{reason}"


def test_it_knows_signatures_and_balances():
    buyer, double = Buyer(), Double()
    forged = asked(buyer)
    forged["paymentPayload"]["payload"]["signature"] = asked(Buyer())["paymentPayload"]["payload"][
        "signature"
    ]
    assert double.why_not(forged) == "invalid_exact_evm_payload_signature"
    double.balances[buyer.account.address] = 15_000
    assert double._honest_settle(asked(buyer)).body is not None
    assert double.why_not(asked(buyer)) == "insufficient_funds"
