"""What a site changes in one place: who may pay, what it costs, and what is said."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncClient, Client

from paywall import adapter, checks, ledger
from paywall.adapter import Adapter
from paywall.models import Order, Payment, Receipt
from paywall.settlement import refunds
from paywall.testing import challenge_of
from paywall.testing.buyer import encode
from tests.helpers import BLOCK, claim, code, let_lapse
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


class Site(Adapter):
    """Dearer for who says so, closed to who says so."""

    def may_pay(self, request, item):
        if "broken" in request.GET:
            raise ZeroDivisionError
        return f"{item.title} is not sold there." if request.GET.get("from") == "nowhere" else ""

    def price(self, request, item, amount, currency):
        return {
            "twice": amount * 2,
            "zero": Decimal(0),
            "float": 0.1,
            "fine": Decimal("0.0000001"),
        }.get(request.GET.get("price", ""))

    def teaser(self, request, item):
        return 1 / 0 if "broken" in request.GET else f"<b>{item.slug}</b> begins"

    def receipt_fields(self, payment):
        if payment.url.endswith("?broken"):
            raise ZeroDivisionError
        return {"Buyer": "Ada <Ltd>"}

    def refund_closes(self, payment, left):
        return left < Decimal("0.005")


@pytest.fixture(autouse=True)
def site(paywall_settings):
    paywall_settings(ADAPTER=f"{__name__}.Site")


def price_of(response) -> str:
    return challenge_of(response)["accepts"][0]["amount"]


def ordered(reader: Client, page):
    """The button of the way that is paid by a transfer."""
    ticket = next(way["ticket"] for way in page.context["ways"] if "ticket" in way)
    own = {**PERSON, "Sec-Fetch-Site": "same-origin"}
    return reader.post("/paywall/pay/transfer/", {"ticket": ticket}, headers=own)


# ------------------------------------------------------------------------- Who may pay


def test_who_may_not_is_told_why(item, buyer, facilitator):
    refused = Client().get("/item/?from=nowhere")
    assert (refused.status_code, code(refused)) == (403, "not_allowed")
    assert refused.json()["detail"] == "Item is not sold there."
    assert "accepts" not in refused.json()
    page = Client().get("/item/?from=nowhere", headers=PERSON)
    assert page.status_code == 403
    assert "Item is not sold there." in page.content.decode()


def test_whoever_pays_all_the_same_is_not_charged(item, buyer, facilitator):
    paid = buyer.pays(Client().get("/item/"))
    refused = Client().get("/item/?from=nowhere", headers=paid)
    assert (refused.status_code, code(refused)) in (
        (403, "not_allowed"),
        (402, "resource_mismatch"),
    )
    assert not Payment.objects.exists()


def test_on_an_event_loop_too(item):
    get = async_to_sync(AsyncClient().get)
    assert get("/item/?from=nowhere").status_code == 403
    assert price_of(get("/item/?price=twice")) == "20000"


def test_who_has_paid_collects_it(make_resource, buyer, facilitator, monkeypatch):
    make_resource(policy="before")
    client, path = Client(), "/failing/?status=500"
    paid = buyer.pays(client.get(path))
    assert client.get(path, headers=paid).status_code == 500
    assert Payment.objects.get().state == "settled"
    let_lapse()
    monkeypatch.setattr(Site, "may_pay", lambda *_: "Not any more.")
    assert client.get(path).status_code == 403
    before = sum(CALLS.values())
    client.get(path, headers=paid)
    assert sum(CALLS.values()) > before


def test_an_adapter_that_fails_sells_nothing(item, caplog):
    with caplog.at_level(logging.ERROR):
        response = Client().get("/item/?broken")
    assert (response.status_code, code(response)) == (503, "paywall_unavailable")
    assert "may_pay of the adapter failed" in caplog.text


# --------------------------------------------------------------------- What it costs


def test_a_price_for_this_request_is_offered_and_taken(item, buyer, facilitator):
    client = Client()
    challenge = client.get("/item/?price=twice")
    assert price_of(challenge) == "20000"
    assert price_of(client.get("/item/")) == "10000"
    assert client.get("/item/?price=twice", headers=buyer.pays(challenge)).status_code == 200
    payment = Payment.objects.get()
    assert (payment.price, payment.captured) == (Decimal("0.02"), "20000")


def test_the_admins_price_is_not_enough_where_it_is_dearer(make_resource, buyer, facilitator):
    make_resource()
    cheap = Client().get("/item/")
    payload = buyer.payload(cheap)
    payload["resource"]["url"] = "http://testserver/item/?price=twice"
    headers = {"PAYMENT-SIGNATURE": encode(payload)}
    refused = Client().get("/item/?price=twice", headers=headers)
    assert (refused.status_code, code(refused)) == (402, "invalid_payment_requirements")
    assert price_of(refused) == "20000"
    assert not Payment.objects.exists()


@pytest.mark.parametrize("wrong", ["zero", "float", "fine"])
def test_what_is_no_price_closes_it(item, wrong):
    response = Client().get(f"/item/?price={wrong}")
    assert (response.status_code, code(response)) == (503, "not_for_sale")
    assert price_of(Client().get("/item/")) == "10000"


def test_a_page_sells_at_the_price_that_it_shows(make_resource, paywall_settings):
    paywall_settings(RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    make_resource(access="forever")
    reader = Client()
    page = reader.get("/item/?price=twice", headers=PERSON)
    assert "$0.02" in page.content.decode()
    ordered(reader, page)
    assert Decimal("0.02") <= Order.objects.get().price < Decimal("0.03")  # told apart by digits


def test_who_may_not_pay_starts_no_order(make_resource, monkeypatch, paywall_settings):
    paywall_settings(RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    make_resource(access="forever")
    reader = Client()
    page = reader.get("/item/", headers=PERSON)
    monkeypatch.setattr(Site, "may_pay", lambda *_: "Not to you.")
    response = ordered(reader, page)
    assert response.status_code == 403
    assert "Not to you." in response.content.decode()
    assert not Order.objects.exists()


# ----------------------------------------------------------------------- What is said


def test_a_teaser_is_text(item):
    assert (
        "&lt;b&gt;item&lt;/b&gt; begins" in Client().get("/item/", headers=PERSON).content.decode()
    )


def test_a_teaser_that_fails_is_the_description(make_resource, monkeypatch):
    make_resource(description="What it is about")
    monkeypatch.setattr(Site, "teaser", lambda *_: 1 / 0)
    page = Client().get("/item/", headers=PERSON)
    assert page.status_code == 402
    assert "What it is about" in page.content.decode()


def test_a_receipt_has_fields_of_the_sites_own(item, buyer, facilitator):
    client = Client()
    assert client.get("/item/", headers=buyer.pays(client.get("/item/"))).status_code == 200
    url = f"/paywall/receipts/{Receipt.objects.get().public_id}/"
    assert client.get(url).json()["fields"] == {"Buyer": "Ada <Ltd>"}
    assert "Ada &lt;Ltd&gt;" in client.get(url, headers=PERSON).content.decode()


def test_a_field_that_fails_costs_nobody_the_receipt(item, buyer, facilitator, monkeypatch):
    monkeypatch.setattr(Site, "receipt_fields", lambda *_: 1 / 0)
    client = Client()
    assert client.get("/item/", headers=buyer.pays(client.get("/item/"))).status_code == 200
    assert "fields" not in Receipt.objects.get().sold


def test_what_a_refund_means(make_resource, paywall_settings):
    paywall_settings(RPC_URLS={"eip155:84532": "http://127.0.0.1:9"}, TREASURY_KEY="0x" + "11" * 32)
    payment, _ = claim(make_resource(access="forever"))
    ledger.settling([payment], 0, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    ledger.grant_pass(payment, None, "h" * 64)
    ledger.confirmed([([payment], BLOCK)])
    first = refunds.request(payment, 4_000, "some", seen=0, revoke_pass=None)
    payment.refresh_from_db()
    second = refunds.request(payment, 1_500, "more", seen=4_000, revoke_pass=None)
    assert (first.revoked_pass, second.revoked_pass) == (False, True)


# ------------------------------------------------------------------------- The setting


@pytest.mark.parametrize("path", ["nowhere.Adapter", "builtins.dict", "tests.settings.Nothing"])
def test_a_path_to_none_is_said_at_start_up(paywall_settings, path):
    paywall_settings(ADAPTER=path)
    with pytest.raises(ImproperlyConfigured, match="ADAPTER"):
        adapter.get()
    assert [one.id for one in checks.check_settings()] == ["paywall.E001"]


def test_without_one_nobody_is_asked(item, paywall_settings, django_assert_num_queries):
    paywall_settings(ADAPTER="", CACHE_SECONDS=60)
    Client().get("/item/")
    with django_assert_num_queries(0):
        assert Client().get("/item/?price=twice&from=nowhere").status_code == 402
