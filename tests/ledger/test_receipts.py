from __future__ import annotations

import pytest
from django.test import Client, override_settings

from paywall import ledger
from paywall.models import Receipt
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def payment(item):
    payment, _ = claim(item)
    ledger.settling([payment], 10, "default")
    ledger.settled([payment], BLOCK.reference)
    return payment


def url() -> str:
    return f"/paywall/receipts/{Receipt.objects.get().public_id}/"


def test_a_receipt_tells_how_its_payment_stands(payment):
    document = Client().get(url()).json()
    assert document["number"] is None
    assert document["price"] == "0.01"
    assert document["currency"] == "USD"
    assert document["resource"] == {
        "title": "Item",
        "url": "http://testserver/item/",
        "method": "GET",
    }
    assert document["payment"]["state"] == "settled"
    assert document["payment"]["payer"] == "0x9965…A4dc"
    assert document["payment"]["transactionUrl"].startswith("https://sepolia.basescan.org/tx/0x")
    assert document["confirmed"] is None
    ledger.confirmed([([payment], BLOCK)])
    document = Client().get(url()).json()
    assert document["number"] == 1
    assert document["payment"]["state"] == "confirmed"
    assert document["payment"]["block"] == 7


def test_what_was_sold_stays_what_it_was(payment, item):
    item.title = "Renamed"
    item.save()
    assert Client().get(url()).json()["resource"]["title"] == "Item"


def test_a_receipt_is_not_to_be_shared_by_caches(payment):
    headers = Client().get(url()).headers
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["X-Robots-Tag"] == "noindex"


def test_a_guess_finds_nothing(db):
    assert Client().get("/paywall/receipts/1/").status_code == 404
    assert Client().post("/paywall/receipts/1/").status_code == 405


def test_without_the_urls_there_is_no_link(item, buyer, facilitator):
    from tests.shop import views

    paying = buyer.pays(Client().get("/item/"))
    with override_settings(ROOT_URLCONF="tests.ledger.test_receipts"):
        response = Client().get("/item/", headers=paying)
    assert response.status_code == 200
    assert "Link" not in response.headers
    assert views.CALLS["item"] == 1


def _urlpatterns():
    from django.urls import path

    from tests.shop import views

    return [path("item/", views.item)]


urlpatterns = _urlpatterns()
