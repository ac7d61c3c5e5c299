"""Cloudflare's headers for crawlers: what is said, and a buyer's own limit."""

from __future__ import annotations

import pytest
from django.test import Client

from paywall.models import Payment
from paywall.testing import Buyer
from tests.helpers import code

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(paywall_settings):
    paywall_settings(CRAWLER_PRICES=True)


def get(**headers: str):
    return Client().get("/item/", headers={n.replace("_", "-"): v for n, v in headers.items()})


def pay(**headers: str):
    return get(**Buyer().pays(get()), **headers)


def test_off(item, paywall_settings, facilitator):
    paywall_settings(CRAWLER_PRICES=False, FACILITATOR_URL=facilitator.url)
    assert "crawler-price" not in get().headers
    paid = pay(crawler_max_price="nonsense")
    assert paid.status_code == 200
    assert "crawler-charged" not in paid.headers


@pytest.mark.parametrize(
    ("price", "told"),
    [("0.01", "USD 0.01"), ("0.5", "USD 0.50"), ("3", "USD 3.00"), ("0.0012", "USD 0.0012")],
)
def test_the_price(make_resource, price, told):
    make_resource("item", price)
    assert get().headers["crawler-price"] == told
    page = get(Accept="text/html", Sec_Fetch_Mode="navigate")
    assert (page.status_code, page.headers["crawler-price"]) == (402, told)


@pytest.mark.parametrize(
    "limit",
    [
        {"crawler_max_price": "USD 0.05"},
        {"crawler_max_price": "USD 0.01"},
        {"crawler_exact_price": "USD 0.010"},
        {},
    ],
)
def test_what_the_limit_allows_is_paid(item, facilitator, limit):
    paid = pay(**limit)
    assert (paid.status_code, paid.headers["crawler-charged"]) == (200, "USD 0.01")


@pytest.mark.parametrize(
    ("limit", "status", "named", "error"),
    [
        ({"crawler_max_price": "USD 0.009"}, 402, "above_price_limit", "InvalidCrawlerMaxPrice"),
        ({"crawler_exact_price": "USD 0.02"}, 402, "above_price_limit", "InvalidCrawlerExactPrice"),
        ({"crawler_max_price": "0.05"}, 400, "price_limit_invalid", "InvalidCrawlerPriceValue"),
        ({"crawler_max_price": "USD -1"}, 400, "price_limit_invalid", "InvalidCrawlerPriceValue"),
        ({"crawler_max_price": "USD 1e3"}, 400, "price_limit_invalid", "InvalidCrawlerPriceValue"),
        (
            {"crawler_max_price": "USD 1", "crawler_exact_price": "USD 0.01"},
            400,
            "price_limit_invalid",
            "ConflictingPriceHeaders",
        ),
    ],
)
def test_what_it_does_not_allow_is_not_charged(item, facilitator, limit, status, named, error):
    refused = pay(**limit)
    assert (refused.status_code, code(refused)) == (status, named)
    assert refused.headers["crawler-error"] == error
    assert not Payment.objects.exists()
    assert not facilitator.requests


def test_a_refused_bot_is_told_in_their_word(item, rule):
    rule("train", "refuse")
    assert get(User_Agent="GPTBot/1.0").headers["crawler-error"] == "CrawlerForbidden"
