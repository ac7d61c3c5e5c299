"""Coming back: by wallet, by account, on another device; and what was paid for and not had."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.utils import timezone
from eth_account import Account as Wallet
from x402.extensions import sign_in_with_x as siwx

from paywall import ledger
from paywall.catalog import path_rules
from paywall.holders import cookies
from paywall.models import AccessPass, PassDevice, Payment, Tally
from paywall.models.payments import State
from paywall.testing import Buyer, challenge_of
from tests.doubles import Answer, success
from tests.helpers import at_once, code, let_lapse, proof
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db(transaction=True)

BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}


@pytest.fixture
def article(make_resource):
    return make_resource(access="forever")


def bought(client: Client, buyer: Buyer, path: str = "/item/") -> Any:
    response = client.get(path, headers=buyer.pays(client.get(path)))
    assert response.status_code == 200
    return response


def signed(wallet: Any, response: Any, **changes: Any) -> dict[str, str]:
    """What the official package's client answers to a challenge."""
    extension = challenge_of(response)["extensions"]["sign-in-with-x"]
    chain = extension["supportedChains"][0]
    url = extension["info"]["uri"]
    info = {**extension["info"], "chainId": chain["chainId"], "type": chain["type"], **changes}
    payload = asyncio.run(siwx.create_siwx_payload(info, wallet, url))
    return {"Sign-In-With-X": siwx.encode_siwx_header(payload)}


# --------------------------------------------------------------------------- By wallet


def test_the_challenge_says_so_where_a_wallet_can_have_something(article, make_resource):
    extension = challenge_of(Client().get("/item/?a=1"))["extensions"]["sign-in-with-x"]
    assert extension["info"]["uri"] == "http://testserver/item/?a=1"
    assert extension["info"]["domain"] == "testserver"
    assert extension["supportedChains"] == [{"chainId": "eip155:84532", "type": "eip191"}]
    other = challenge_of(Client().get("/item/?a=1"))["extensions"]["sign-in-with-x"]
    assert other["info"]["nonce"] != extension["info"]["nonce"]
    article.access = "request"
    article.save()
    assert "sign-in-with-x" not in challenge_of(Client().get("/item/"))["extensions"]


def test_the_cached_challenge_stays(article, django_assert_num_queries):
    Client().get("/item/")
    from paywall import conf

    if conf.get().cache_seconds:
        with django_assert_num_queries(0):
            Client().get("/item/")


def test_the_wallet_that_paid_comes_in(article, buyer, facilitator):
    bought(Client(), buyer)
    program = Client()
    response = program.get("/item/", headers=signed(buyer.account, program.get("/item/")))
    assert response.status_code == 200
    assert cookies.COOKIE not in response.cookies, "a program signs each time"
    assert Payment.objects.count() == 1


def test_another_wallet_does_not(article, buyer, facilitator):
    bought(Client(), buyer)
    challenge = Client().get("/item/")
    assert Client().get("/item/", headers=signed(Wallet.create(), challenge)).status_code == 402


def test_a_proof_is_good_once(article, buyer, facilitator):
    bought(Client(), buyer)
    header = signed(buyer.account, Client().get("/item/"))
    assert [Client().get("/item/", headers=header).status_code for _ in range(2)] == [200, 402]
    assert Tally.objects.filter(scope__startswith="proof ").count() == 1


def test_of_many_at_once_one_comes_in(article, buyer, facilitator):
    bought(Client(), buyer)
    header = signed(buyer.account, Client().get("/item/"))
    found: list[int] = []

    def one() -> None:
        found.append(Client().get("/item/", headers=header).status_code)
        connection.close()

    at_once([one] * 8)
    assert sorted(found) == [200] + [402] * 7


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": "http://testserver/other/"},
        {"uri": "http://testserver/item/?more=1"},
        {"domain": "elsewhere.example"},
        {"uri": "https://elsewhere.example/item/"},
        {"issuedAt": "2020-01-01T00:00:00.000Z"},
        {"issuedAt": "2120-01-01T00:00:00.000Z"},
        {"expirationTime": "2020-01-01T00:00:00.000Z"},
        {"chainId": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"},
    ],
)
def test_a_proof_for_something_else_opens_nothing(article, buyer, facilitator, changes):
    bought(Client(), buyer)
    header = {"Sign-In-With-X": proof(buyer.account, **changes)}
    assert Client().get("/item/", headers=header).status_code == 402
    assert not Tally.objects.filter(scope__startswith="proof ").exists(), "nothing is used up"


def test_a_browser_has_it_from_then_on(article, buyer, facilitator):
    bought(Client(), buyer)
    other = Client()
    headers = {**signed(buyer.account, other.get("/item/")), "Sec-Fetch-Site": "same-origin"}
    assert other.get("/item/", headers=headers).status_code == 200
    assert other.get("/item/").status_code == 200
    assert PassDevice.objects.count() == 1


def test_a_revoked_pass_opens_nothing_any_more(article, buyer, facilitator):
    first, other = Client(), Client()
    bought(first, buyer)
    headers = {**signed(buyer.account, other.get("/item/")), "Sec-Fetch-Site": "same-origin"}
    assert other.get("/item/", headers=headers).status_code == 200
    ledger.revoke(AccessPass.objects.get())
    again = signed(buyer.account, Client().get("/item/"))
    assert [client.get("/item/").status_code for client in (first, other)] == [402, 402]
    assert Client().get("/item/", headers=again).status_code == 402


# ----------------------------------------------------------------------------- Devices


def test_so_many_devices_and_no_more(article, buyer, facilitator, paywall_settings):
    paywall_settings(PASS_DEVICES=2)
    first, second, third = Client(), Client(), Client()
    bought(first, buyer)

    def comes(client: Client, **more: str) -> Any:
        proven = signed(buyer.account, Client().get("/item/"))
        return client.get("/item/", headers={**proven, "Sec-Fetch-Site": "same-origin", **more})

    assert comes(second).status_code == 200
    refused = comes(third)
    assert (refused.status_code, code(refused)) == (403, "too_many_devices")
    assert "PAYMENT-REQUIRED" not in refused.headers
    page = comes(third, Accept="text/html")
    assert page.status_code == 403
    assert "as many devices as it may be" in page.content.decode()
    assert [client.get("/item/").status_code for client in (first, second)] == [200, 200]
    pass_id = AccessPass.objects.get().pk
    assert third.post(f"/paywall/purchases/{pass_id}/close/").status_code == 404
    assert first.post(f"/paywall/purchases/{pass_id}/close/").status_code == 302
    assert comes(third).status_code == 200
    assert [client.get("/item/").status_code for client in (first, second)] == [200, 402]


def test_of_many_that_come_at_once_so_many(article, buyer, facilitator, paywall_settings):
    paywall_settings(PASS_DEVICES=3)
    bought(Client(), buyer)
    headers = [signed(buyer.account, Client().get("/item/")) for _ in range(8)]
    found: list[int] = []

    def comes(header: dict[str, str]) -> None:
        client = Client(headers={"Sec-Fetch-Site": "same-origin"})
        found.append(client.get("/item/", headers=header).status_code)
        connection.close()

    at_once([partial(comes, header) for header in headers])
    assert sorted(found) == [200, 200] + [403] * 6


def test_a_user_counts_devices_too(article, buyer, facilitator, paywall_settings):
    paywall_settings(PASS_DEVICES=1)
    ada = User.objects.create_user("ada")
    first, second = Client(), Client()
    for client in (first, second):
        client.force_login(ada)
    bought(first, buyer)
    assert first.get("/item/").status_code == 200
    assert second.get("/item/").status_code == 403


# ---------------------------------------------------------------------------- Accounts


def test_what_was_bought_before_signing_in_is_adopted_with_consent(article, buyer, facilitator):
    User.objects.create_user("ada", password="x")
    client, elsewhere = Client(), Client()
    bought(client, buyer)
    elsewhere.login(username="ada", password="x")
    client.login(username="ada", password="x")
    assert elsewhere.get("/item/").status_code == 402, "nothing is adopted by itself"
    page = client.get("/paywall/purchases/").content.decode()
    assert "bought in this browser before you signed in" in page
    assert client.post("/paywall/purchases/adopt/").status_code == 302
    assert elsewhere.get("/item/").status_code == 200
    assert "Item" in elsewhere.get("/paywall/purchases/").content.decode()
    assert "before you signed in" not in client.get("/paywall/purchases/").content.decode()


def test_nobody_adopts_what_is_anothers(article, buyer, facilitator):
    ada, eve = (User.objects.create_user(name) for name in ("ada", "eve"))
    client = Client()
    client.force_login(ada)
    bought(client, buyer)
    cookie = client.cookies[cookies.COOKIE].value
    thief = Client()
    thief.force_login(eve)
    thief.cookies[cookies.COOKIE] = cookie
    thief.post("/paywall/purchases/adopt/")
    assert AccessPass.objects.get().user == ada


def test_who_signs_in_is_told_of_it(article, buyer, facilitator):
    User.objects.create_superuser("ada", password="x")
    client = Client()
    bought(client, buyer)
    response = client.post("/admin/login/?next=/x/", {"username": "ada", "password": "x"})
    assert response.status_code == 302
    (told,) = get_messages(response.wsgi_request)
    assert "/paywall/purchases/" in str(told)


def test_a_browser_sees_its_purchases_without_an_account(article, buyer, facilitator):
    client = Client()
    bought(client, buyer)
    assert "Item" in client.get("/paywall/purchases/").content.decode()
    assert Client().get("/paywall/purchases/").status_code == 302


# -------------------------------------------------------------------- Paid, and not had


@pytest.fixture
def reader() -> Client:
    """A browser that has its cookie, as the page sees to before it pays."""
    client = Client()
    assert client.post("/paywall/begin/").status_code == 204
    assert client.cookies[cookies.COOKIE]["httponly"]
    return client


@pytest.mark.parametrize("access", ["forever", "request"])
def test_a_payment_that_was_slow_is_delivered_to_its_browser(
    make_resource, reader, buyer, facilitator, access
):
    make_resource(policy="before", access=access)
    facilitator.settle = Answer(die=True)
    assert reader.get("/item/", headers=buyer.pays(reader.get("/item/"))).status_code == 503
    page = reader.get("/item/", headers=BROWSER)
    assert page.status_code == 503
    assert "Your payment is on its way" in page.content.decode()
    assert "data-paywall-pay" not in page.content.decode(), "nobody pays twice"
    assert Client().get("/item/", headers=BROWSER).status_code == 402
    facilitator.settle = success()
    let_lapse()
    from paywall.settlement import worker

    worker.sweep()
    payment = Payment.objects.get()
    if payment.state == State.SETTLING:
        ledger.settled([payment], "0x" + "ab" * 32)
    assert Client().get("/item/", headers=BROWSER).status_code == 402
    assert reader.get("/item/", headers=BROWSER).status_code == 200
    again = reader.get("/item/", headers=BROWSER)
    assert again.status_code == (200 if access == "forever" else 402)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_origins_page_does_not_spend_it(make_resource, reader, buyer, facilitator, site):
    make_resource(policy="before")
    facilitator.settle = Answer(die=True)
    assert reader.get("/item/", headers=buyer.pays(reader.get("/item/"))).status_code == 503
    ledger.settled([Payment.objects.get()], "0x" + "ab" * 32)
    sent = reader.get("/item/", headers={**BROWSER, "Sec-Fetch-Site": site})
    assert sent.status_code == 403
    assert 'href="/item/"' in sent.content.decode()
    assert CALLS["item"] == 0
    own = reader.get("/item/", headers={**BROWSER, "Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 200
    assert reader.get("/item/", headers=BROWSER).status_code == 402


def test_what_was_refunded_is_not_delivered(make_resource, reader, buyer, facilitator):
    from paywall.models import Refund

    make_resource(policy="before")
    path = "/failing/?status=500"
    reader.get(path, headers=buyer.pays(reader.get(path)))
    Refund.objects.create(
        payment=Payment.objects.get(),
        amount="10000",
        state="confirmed",
        reference="0x1",
        is_ours_to_send=False,
    )
    assert reader.get(path, headers=BROWSER).status_code == 402


def test_the_cookie_is_asked_for_once(reader):
    before = reader.cookies[cookies.COOKIE].value
    assert cookies.COOKIE not in reader.post("/paywall/begin/").cookies
    assert reader.cookies[cookies.COOKIE].value == before


# --------------------------------------------------------------------- What a pass is for


def test_a_day_pass_for_all_that_a_path_rule_sells(make_resource, buyer, facilitator):
    """One payment, any page of the archive, until tomorrow."""
    make_resource(
        "day", access="period", pass_seconds=86_400, path="/free/**", mime_type="text/html"
    )
    path_rules.forget()
    reader = Client()
    assert reader.get("/free/sync/").status_code == 402
    paid = reader.get("/free/sync/", headers=buyer.pays(reader.get("/free/sync/")))
    assert paid.status_code == 200
    assert reader.get("/free/async/").status_code == 200
    assert Client().get("/free/async/").status_code == 402
    AccessPass.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert reader.get("/free/async/").status_code == 402
