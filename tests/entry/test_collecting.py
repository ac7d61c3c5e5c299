"""Who may collect what was paid for, once the signature stands in the chain for all to read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from paywall.holders import cookies
from paywall.models import Payment
from paywall.testing import Buyer, outcome_of
from tests.doubles import TX, Answer, success
from tests.helpers import code, let_lapse, proof
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db(transaction=True)


def signed_in(buyer: Buyer, path: str) -> dict[str, str]:
    return {"Sign-In-With-X": proof(buyer.account, f"http://testserver{path}")}


@pytest.fixture(params=["settled", "settling"])
def owed(request, make_resource, buyer, facilitator):
    """A payment that was not delivered, eleven minutes ago, and the headers that made it."""
    make_resource(policy="before", access="forever")
    client = Client()
    path = "/failing/?status=500" if request.param == "settled" else "/item/"
    paying = buyer.pays(client.get(path))
    if request.param == "settled":
        assert client.get(path, headers=paying).status_code == 500
    else:
        facilitator.settle = Answer(die=True)
        assert client.get(path, headers=paying).status_code == 503
        facilitator.settle = success()
    let_lapse()
    return path, paying


def age(minutes: float) -> None:
    Payment.objects.update(created_at=timezone.now() - timedelta(minutes=minutes))


def reaches_the_view(path: str, headers: dict[str, str], client: Client | None = None) -> bool:
    before = sum(CALLS.values())
    response = (client or Client()).get(path, headers=headers)
    came = sum(CALLS.values()) > before
    if not came:
        assert (response.status_code, code(response)) == (403, "wallet_proof_required")
        assert "PAYMENT-REQUIRED" not in response.headers
        assert cookies.COOKIE not in response.cookies
    return came


def test_for_ten_minutes_the_credential_is_enough(owed):
    age(9)
    assert reaches_the_view(*owed)


def test_later_it_is_not(owed):
    age(11)
    assert not reaches_the_view(*owed)
    assert Payment.objects.get().delivered_at is None


def test_the_wallet_signs_in(owed, buyer):
    path, paying = owed
    age(11)
    assert not reaches_the_view(path, {**paying, **signed_in(Buyer(), path)})
    assert reaches_the_view(path, {**paying, **signed_in(buyer, path)})


def test_the_browser_that_paid_comes_back(owed):
    path, paying = owed
    age(11)
    browser, other = Client(), Client()
    for client, secret in ((browser, "a" * 40), (other, "b" * 40)):
        client.cookies[cookies.COOKIE] = cookies.signer().sign(secret)
    Payment.objects.update(holder=cookies.hash_of("a" * 40))
    assert not reaches_the_view(path, paying, other)
    assert reaches_the_view(path, paying, browser)


def test_the_user_who_paid_comes_back(owed):
    path, paying = owed
    age(11)
    ada, eve = (User.objects.create_user(name) for name in ("ada", "eve"))
    Payment.objects.update(user=ada)
    clients: dict[Any, Client] = {}
    for user in (ada, eve):
        clients[user] = Client()
        clients[user].force_login(user)
    assert not reaches_the_view(path, paying, clients[eve])
    assert reaches_the_view(path, paying, clients[ada])


def test_a_browser_is_remembered_when_it_pays(make_resource, buyer, facilitator):
    make_resource(access="forever")
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    make_resource("other", access="forever")
    client.get("/by-object/other/", headers=buyer.pays(client.get("/by-object/other/")))
    first, second = Payment.objects.order_by("pk")
    assert first.holder == ""  # it had no cookie yet
    assert second.holder == cookies.hash_of(
        cookies.signer().unsign(client.cookies[cookies.COOKIE].value)
    )


def test_a_replay_names_the_receipt_only_to_who_may_have_it(item, buyer, facilitator):
    paying = buyer.pays(Client().get("/item/"))
    Client().get("/item/", headers=paying)
    early = Client().get("/item/", headers=paying)
    age(11)
    late = Client().get("/item/", headers=paying)
    proven = Client().get("/item/", headers={**paying, **signed_in(buyer, "/item/")})
    for response in (early, late, proven):
        assert (response.status_code, code(response)) == (409, "payment_already_used")
        assert outcome_of(response)["transaction"] == TX
    assert "receipt" not in late.json()
    assert "Link" not in late.headers
    assert early.json()["receipt"] == proven.json()["receipt"]
