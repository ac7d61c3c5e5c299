"""An approval of Permit2 that is signed beside the payment (`eip2612GasSponsoring`)."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from x402.extensions.eip2612_gas_sponsoring import declare_eip2612_gas_sponsoring_extension

from paywall.models import Payment
from paywall.rails.evm.permit2 import PERMIT2
from paywall.rails.evm.sponsoring import NAME
from paywall.testing import challenge_of, encode
from tests.doubles import FACILITATOR, Answer
from tests.helpers import code

pytestmark = pytest.mark.django_db

URL = "/metered/?use=0.01"
KIND = {
    "x402Version": 2,
    "scheme": "upto",
    "network": "eip155:84532",
    "extra": {"facilitatorAddress": FACILITATOR},
}
SAYS_SO = Answer(body={"kinds": [KIND], "extensions": [NAME], "signers": {}})


@pytest.fixture
def sponsored(make_resource, facilitator, paywall_settings):
    paywall_settings(FACILITATOR_URL=facilitator.url, GAS_SPONSORING=True)
    facilitator.supported = SAYS_SO
    return make_resource("metered", "0.05", by_use=True)


def pay(buyer, **changes):
    client = Client()
    response = client.get(URL)
    payload = buyer.payload(response)
    info = {
        "from": buyer.account.address,
        "asset": payload["accepted"]["asset"],
        "spender": PERMIT2,
        "amount": "50000",
        "nonce": "0",
        "deadline": str(int(time.time()) + 300),
        "signature": "0x" + "11" * 64 + "1b",
        "version": "1",
        **changes,
    }
    payload["extensions"] = {NAME: {"info": info}}
    return client.get(URL, headers={"PAYMENT-SIGNATURE": encode(payload)})


def test_it_is_declared_as_the_official_package_does(sponsored):
    ours = challenge_of(Client().get(URL))["extensions"][NAME]
    theirs = declare_eip2612_gas_sponsoring_extension()[NAME]
    assert ours["info"].keys() == theirs["info"].keys()
    assert ours["schema"]["required"] == theirs["schema"]["required"]
    for name, field in theirs["schema"]["properties"].items():
        assert ours["schema"]["properties"][name]["pattern"] == field["pattern"]


def test_only_where_who_settles_says_so_and_the_setting_is_on(
    sponsored, make_resource, facilitator, paywall_settings, item
):
    assert NAME not in challenge_of(Client().get("/item/")).get("extensions", {})
    paywall_settings(FACILITATOR_URL=facilitator.url, GAS_SPONSORING=False)
    assert NAME not in challenge_of(Client().get(URL)).get("extensions", {})


def test_a_facilitator_that_does_not_say_so_pays_for_nobody(sponsored, facilitator):
    facilitator.supported = None
    assert NAME not in challenge_of(Client().get(URL)).get("extensions", {})


def test_it_travels_to_who_settles(sponsored, facilitator, buyer):
    assert pay(buyer).status_code == 200
    for path in ("/verify", "/settle"):
        (asked,) = facilitator.asked(path)
        info = asked["paymentPayload"]["extensions"][NAME]["info"]
        assert (info["from"], info["amount"]) == (buyer.account.address, "50000")
        assert "extensions" not in asked["paymentPayload"]["payload"]


def test_where_it_is_off_it_is_left_where_it_is(sponsored, facilitator, buyer, paywall_settings):
    paywall_settings(FACILITATOR_URL=facilitator.url, GAS_SPONSORING=False)
    assert pay(buyer).status_code == 200
    (asked,) = facilitator.asked("/settle")
    assert not asked["paymentPayload"].get("extensions")


@pytest.mark.parametrize(
    "changes",
    [
        {"from": FACILITATOR},
        {"asset": FACILITATOR},
        {"spender": FACILITATOR},
        {"amount": "49999"},
        {"amount": "much"},
        {"deadline": "1"},
        {"signature": "0x" + "11" * 64},
        {"signature": 7},
        {"nonce": -1},
    ],
)
def test_what_is_signed_for_something_else_is_refused(sponsored, facilitator, buyer, changes):
    response = pay(buyer, **changes)
    assert (response.status_code, code(response)) == (400, "invalid_payload")
    assert NAME in response.json()["detail"]
    assert facilitator.asked("/verify") == []
    assert not Payment.objects.exists()
