"""One Django site as the facilitator of others: the official clients' own, and ours."""

from __future__ import annotations

import httpx
import pytest
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync
from x402.http.facilitator_client_base import CreateHeadersAuthProvider
from x402.schemas import PaymentPayload, PaymentRequirements

from paywall.rails.evm.permit2 import PERMIT2
from paywall.testing import Buyer
from site_demo.chain.local import account

from .conftest import SELLER, demo_site
from .test_clients import official_python, payments

TOKEN = "a token of the fleet"


@pytest.fixture(scope="module")
def fleet(chain, seed, tmp_path_factory):
    """The demo site, which settles for itself and for who has the token; it keeps no payments of
    theirs, so all tests share it."""
    site = demo_site(
        tmp_path_factory.mktemp("fleet"),
        chain,
        "",
        PAYWALL_GAS_KEY=account(0).key.hex(),
        PAYWALL_FACILITATOR_CLIENTS=f"shop={TOKEN}",
    )
    seed(site)
    yield site.start()
    site.kill()


@pytest.fixture
def client(fleet):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    every = dict.fromkeys(("verify", "settle", "supported"), headers)
    config = FacilitatorConfig(
        url=f"{fleet.url}/facilitator", auth_provider=CreateHeadersAuthProvider(lambda: every)
    )
    return HTTPFacilitatorClientSync(config)


def asked(fleet, buyer: Buyer, **changes):
    payload = buyer.payload(httpx.get(f"{fleet.url}/api/forecast/"), **changes)
    return (
        PaymentPayload.model_validate(payload),
        PaymentRequirements.model_validate(payload["accepted"]),
    )


def test_the_official_client_verifies_and_settles(fleet, client, chain, rich_buyer):
    supported = client.get_supported()
    assert {(kind.x402_version, kind.scheme, kind.network) for kind in supported.kinds} == {
        (1, "exact", "base-sepolia"),
        (2, "exact", "eip155:84532"),
        (2, "upto", "eip155:84532"),
    }
    order = asked(fleet, rich_buyer)
    assert client.verify(*order).is_valid
    before = chain.balance(SELLER)
    settled = client.settle(*order)
    assert settled.success
    assert chain.balance(SELLER) - before == 10_000
    # Asked again, it says the same and takes nothing more.
    assert client.settle(*order).transaction == settled.transaction
    assert chain.balance(SELLER) - before == 10_000
    assert not client.verify(*order).is_valid


def test_what_is_charged_by_use_is_settled_as_far_as_it_was_used(fleet, client, chain):
    wallet = account(7)
    chain.mint(wallet.address, 1_000_000)
    chain.send("approve(address,uint256)", PERMIT2, 10**12, sender=7)

    def order(amount):
        payload = Buyer(wallet).payload(httpx.get(f"{fleet.url}/api/tokens/"))
        wanted = {**payload["accepted"], "amount": amount}
        return (
            PaymentPayload.model_validate(payload),
            PaymentRequirements.model_validate(wanted),
        )

    assert client.verify(*order("50000")).is_valid
    before = chain.balance(SELLER)
    payment, wanted = order("12300")
    settled = client.settle(payment, wanted)
    assert (settled.success, settled.amount) == (True, "12300"), settled
    assert chain.balance(SELLER) - before == 12_300
    assert client.settle(payment, wanted).transaction == settled.transaction
    assert not client.settle(payment, wanted.model_copy(update={"amount": "50000"})).success
    nothing = client.settle(*order("0"))
    assert (nothing.success, nothing.transaction, nothing.amount) == (True, "", "0")
    too_much = client.settle(*order("50001"))
    assert too_much.error_reason == "invalid_upto_evm_payload_settlement_exceeds_amount"
    assert chain.balance(SELLER) - before == 12_300


def test_it_refuses_in_x402s_words(fleet, client):
    poor = asked(fleet, Buyer())
    verdict = client.verify(*poor)
    assert (verdict.is_valid, verdict.invalid_reason) == (False, "insufficient_funds") or (
        "balance" in str(verdict.invalid_reason)
    )
    settled = client.settle(*poor)
    assert (settled.success, settled.error_reason) == (False, "insufficient_funds")
    stale = asked(fleet, Buyer(), validBefore="1")
    assert client.settle(*stale).error_reason.endswith("valid_before")


def test_nobody_else_may_use_it(fleet):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        for path in ("verify", "settle"):
            answer = httpx.post(f"{fleet.url}/facilitator/{path}", json={}, headers=headers)
            assert answer.status_code == 401
        assert httpx.get(f"{fleet.url}/facilitator/supported", headers=headers).status_code == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"x402Version": 3}', b'{"x402Version": 2}'])
def test_nonsense_is_named(fleet, body):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{fleet.url}/facilitator/settle", content=body, headers=headers)
    assert answer.status_code == 400


def test_another_site_sells_through_it(fleet, make_site, tmp_path, chain, rich):
    """Our own HTTP client, with the token; the shop has no key and sends nothing itself."""
    shop = make_site(
        PAYWALL_FACILITATOR_URL=f"{fleet.url}/facilitator",
        PAYWALL_FACILITATOR_TOKEN=TOKEN,
        DATABASE_URL=f"sqlite:///{tmp_path / 'shop.sqlite3'}",
    ).start()
    before = chain.balance(SELLER)
    assert official_python("GET", f"{shop.url}/api/forecast/", rich).status_code == 200
    assert chain.balance(SELLER) - before == 10_000
    assert payments(shop)[0]["state"] == "settled"
    assert shop.manage("paywall_run", "--once").strip() == "confirm: 1 confirmed"
    assert payments(fleet) == []


def test_the_legacy_client_pays_through_it(fleet, make_site, tmp_path, rich):
    shop = make_site(
        PAYWALL_FACILITATOR_URL=f"{fleet.url}/facilitator",
        PAYWALL_FACILITATOR_TOKEN=TOKEN,
        DATABASE_URL=f"sqlite:///{tmp_path / 'shop.sqlite3'}",
    ).start()
    challenge = httpx.get(f"{shop.url}/api/forecast/")
    headers = Buyer(rich).pays_v1(challenge)
    assert httpx.get(f"{shop.url}/api/forecast/", headers=headers).status_code == 200
