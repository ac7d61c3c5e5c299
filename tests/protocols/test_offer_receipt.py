"""x402's `offer-receipt`: what the site signs, as anybody can check it."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from django.test import Client
from eth_account import Account
from eth_account.messages import encode_typed_data

from paywall import site_key
from paywall.protocols.x402 import offer_receipt
from paywall.testing import Buyer, challenge_of, outcome_of
from tests.test_docs import ROOT

pytestmark = pytest.mark.django_db

NAME = "offer-receipt"


@pytest.fixture
def on(item, paywall_settings, facilitator):
    paywall_settings(OFFER_RECEIPT=True)


def offers(url: str = "/item/") -> list[dict[str, Any]]:
    found = challenge_of(Client().get(url))["extensions"][NAME]["info"]["offers"]
    assert isinstance(found, list)
    return found


def signer(signed: dict[str, Any], kind: str, fields: Any) -> str:
    domain = {"name": f"x402 {kind.lower()}", "version": "1", "chainId": 1}
    types = {kind: [{"name": name, "type": type_} for name, type_ in fields]}
    message = encode_typed_data(domain, types, signed["payload"])
    return str(Account.recover_message(message, signature=signed["signature"]))


def test_it_is_off_unless_it_is_turned_on(item, buyer, facilitator):
    challenge = Client().get("/item/")
    assert NAME not in challenge_of(challenge)["extensions"]
    paid = Client().get("/item/", headers=buyer.pays(challenge))
    assert "extensions" not in outcome_of(paid)


def test_an_offer_is_the_challenges_and_signed_by_the_site(on):
    accepts = challenge_of(Client().get("/item/?a=1"))["accepts"][0]
    (offer,) = offers("/item/?a=1")
    assert (offer["format"], offer["acceptIndex"]) == ("eip712", 0)
    payload = offer["payload"]
    assert payload["resourceUrl"] == "http://testserver/item/?a=1"
    for name in ("scheme", "network", "asset", "payTo", "amount"):
        assert payload[name] == accepts[name]
    assert signer(offer, "Offer", offer_receipt._OFFER) == site_key.address()


def test_it_is_signed_once_a_minute_and_not_for_each_402(on, monkeypatch):
    asked = []
    real = site_key.sign
    monkeypatch.setattr(site_key, "sign", lambda message: asked.append(1) or real(message))
    offer_receipt._signed.clear()
    first = offers()
    assert all(offers() == first for _ in range(5))
    assert len(asked) == 1
    now = offer_receipt.time.time()
    monkeypatch.setattr(offer_receipt.time, "time", lambda: now + 61)
    assert offers() != first
    assert len(asked) == 2


def test_a_receipt_names_payer_and_transaction(on, buyer):
    challenge = Client().get("/item/")
    told = outcome_of(Client().get("/item/", headers=buyer.pays(challenge)))
    receipt = told["extensions"][NAME]["info"]["receipt"]
    payload = receipt["payload"]
    assert payload["payer"] == buyer.account.address
    assert payload["transaction"] == told["transaction"]
    assert payload["resourceUrl"] == "http://testserver/item/"
    assert signer(receipt, "Receipt", offer_receipt._RECEIPT) == site_key.address()


def test_what_was_refused_has_no_receipt(on, buyer):
    refused = Client().get("/failing/", headers=buyer.pays(Client().get("/failing/")))
    assert "extensions" not in outcome_of(refused)


def test_the_official_clients_pay_all_the_same(on, buyer):
    paid = Client().get("/item/", headers=buyer.pays(Client().get("/item/")))
    assert paid.status_code == 200


@pytest.mark.slow
def test_the_official_package_verifies_both(on, buyer):
    challenge = Client().get("/item/")
    paid = Client().get("/item/", headers=Buyer.pays(buyer, challenge))
    node = shutil.which("node")
    assert node
    asked = {
        "paymentRequired": challenge_of(challenge),
        "response": paid.headers["PAYMENT-RESPONSE"],
        "payer": buyer.account.address,
    }
    script = ROOT / "tests/end_to_end/clients/verify_offers.mjs"
    done = subprocess.run(
        [node, script], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "offer": site_key.address(),
        "receipt": site_key.address(),
        "matches": True,
    }
