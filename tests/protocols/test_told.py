"""What a 402 and a 400 say in words."""

from __future__ import annotations

import base64
import json

import pytest
from django.test import Client

from paywall.testing import Buyer
from paywall.testing.buyer import encode

pytestmark = pytest.mark.django_db


def test_a_402_says_what_it_costs_and_how_it_is_paid(item):
    said = Client().get("/item/", secure=True).json()
    assert said["price"] == "0.01 USD"
    x402, mpp = said["how_to_pay"]
    assert x402.startswith("x402: ")
    assert "PAYMENT-SIGNATURE" in x402
    assert mpp.startswith("MPP")


def test_what_is_charged_by_use_costs_at_most_so_much(make_resource, facilitator):
    make_resource("metered", "0.05", by_use=True)
    assert Client().get("/metered/").json()["price"] == "at most 0.05 USD"


def changed(payload, path, value):
    *inside, name = path.split(".")
    at = payload
    for step in inside:
        at = at[step]
    if value is None:
        del at[name]
    else:
        at[name] = value
    return payload


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("payload.authorization.to", "0x12", "authorization.to: not an address: '0x12'"),
        ("payload.authorization.value", 10_000, "authorization.value: not a string of digits"),
        ("payload.authorization.nonce", None, "authorization.nonce is missing"),
        ("payload.signature", "0xzz", "signature: not 0x-prefixed hex"),
        ("payload", None, "payload: field required"),
        ("payload", 7, "payload: input should be a valid dictionary"),
        ("accepted.amount", 7, "accepted.amount: input should be a valid string"),
        ("x402Version", "2", "x402Version must be the number 2"),
    ],
)
def test_a_400_names_the_field_that_is_wrong(item, path, value, said):
    payload = changed(Buyer().payload(Client().get("/item/")), path, value)
    refused = Client().get("/item/", headers={"PAYMENT-SIGNATURE": encode(payload)})
    assert refused.status_code == 400
    assert said in refused.json()["detail"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("{}", "it is not base64"),
        (base64.b64encode(b"{").decode(), "not JSON"),
        (base64.b64encode(b"[]").decode(), "not a JSON object"),
    ],
)
def test_what_is_no_payload_at_all(item, header, said):
    refused = Client().get("/item/", headers={"PAYMENT-SIGNATURE": header})
    assert (refused.status_code, said in refused.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        ({"payload": {}}, "challenge is not an object"),
        ({"challenge": {"id": 1}, "payload": {}}, "challenge.id is not a string"),
    ],
)
def test_mpps_too(item, credential, said):
    text = base64.urlsafe_b64encode(json.dumps(credential).encode()).decode().rstrip("=")
    asked = {"Authorization": f"Payment {text}"}
    assert said in Client().get("/item/", headers=asked, secure=True).json()["detail"]
