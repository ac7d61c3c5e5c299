"""The other use of 402: a payment of the site's own failed. Every error of Stripe's, as its package
raises it, by a real request to the double."""

from __future__ import annotations

import re
from typing import Any

import pytest
import stripe
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from paywall.exceptions import HIDDEN, PaymentFailed, Retry
from paywall.models import Payment
from paywall.models.payments import State
from paywall.testing import Buyer
from tests import stripe_double as doubles
from tests.entry.failing_urls import RAISED
from tests.test_docs import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.urlconf("tests.entry.failing_urls")]

PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def double(paywall_settings):
    with doubles.stripe_double() as started:
        paywall_settings(STRIPE={"API_KEY": doubles.KEY, "API_BASE": started.url})
        yield started


def error(type_: str, code: str = "", decline: str = "", **more: str) -> dict[str, Any]:
    found = {"type": type_, "code": code, "decline_code": decline, "message": "It went wrong."}
    return {name: value for name, value in {**found, **more}.items() if value}


ROWS = [
    # what Stripe answers; what the package raises; what the buyer gets
    (
        402,
        error("card_error", "card_declined", "generic_decline"),
        "CardError",
        402,
        "other_method",
    ),
    (
        402,
        error("card_error", "card_declined", "insufficient_funds"),
        "CardError",
        402,
        "other_method",
    ),
    (402, error("card_error", "expired_card"), "CardError", 402, "other_method"),
    (402, error("card_error", "incorrect_cvc"), "CardError", 402, "same"),
    (402, error("card_error", "authentication_required"), "CardError", 402, "same"),
    (402, error("card_error", "processing_error"), "CardError", 402, "later"),
    (
        402,
        error("card_error", "card_declined", "do_not_honor", advice_code="try_again_later"),
        "CardError",
        402,
        "later",
    ),
    (402, error("invalid_request_error", "x"), "CardError", 503, "facilitator_unavailable"),
    (400, error("idempotency_error"), "IdempotencyError", 409, "idempotency_conflict"),
    (409, error("idempotency_error"), "APIError", 409, "idempotency_conflict"),
    (429, error("invalid_request_error", "rate_limit"), "RateLimitError", 429, "too_many_requests"),
    (401, error("invalid_request_error"), "AuthenticationError", 503, "facilitator_unavailable"),
    (403, error("invalid_request_error"), "PermissionError", 503, "facilitator_unavailable"),
    (500, error("api_error"), "APIError", 503, "settlement_pending"),
    (424, error("api_error"), "APIError", 503, "settlement_pending"),
]


@pytest.mark.parametrize("path", ["/charging/", "/without/"])
@pytest.mark.parametrize(("stripes", "body", "raised", "status", "told"), ROWS)
def test_each_error_of_stripes(double, path, stripes, body, raised, status, told):
    double.errors.append((stripes, body))
    response = Client().get(path)
    assert response.status_code == status, response.content
    found = response.json()
    assert (found["status"], found["type"]) == (status, "about:blank")
    assert (found["retry"] if status == 402 else found["code"]) == told
    if status == 402:
        assert found["code"] == body["code"]
        assert found.get("decline_code", "") == body.get("decline_code", "")
        assert found["detail"].endswith(".")
    else:
        assert "PAYMENT-REQUIRED" not in response.headers
    assert ("Retry-After" in response.headers) == (status in (429, 503))
    assert response.headers["Cache-Control"] == "no-store"


def test_the_package_raises_what_the_table_says(double):
    client = stripe.StripeClient(
        doubles.KEY, base_addresses={"api": double.url}, max_network_retries=0
    )
    for status, body, raised, *_ in ROWS:
        double.errors.append((status, body))
        with pytest.raises(stripe.StripeError) as found:
            client.v1.payment_intents.create({"amount": 100, "currency": "usd"})
        assert type(found.value).__name__ == raised


def test_the_table_of_the_docs_is_this_one():
    text = (ROOT / "docs/cards.md").read_text()
    listed = re.findall(
        r"^\| (\d{3}) \| `(\w+)` \| `(\w+)` \| (\d{3}) \| `(\w+)` \|", text, re.MULTILINE
    )
    told = {
        (str(stripes), body["type"], raised, str(status), code)
        for stripes, body, raised, status, code in ROWS
    }
    assert told == set(listed)


def test_async_views_too(double):
    double.errors.append((402, error("card_error", "card_declined", "stolen_card")))
    response = async_to_sync(AsyncClient().get)("/async-charging/")
    assert (response.status_code, response.json()["decline_code"]) == (402, "generic_decline")


def test_no_connection_leaves_the_outcome_unknown(double, paywall_settings):
    paywall_settings(STRIPE={"API_KEY": doubles.KEY, "API_BASE": "http://127.0.0.1:9"})
    response = Client().get("/charging/")
    assert (response.status_code, response.json()["code"]) == (503, "settlement_pending")
    assert response.headers["Retry-After"]


def test_a_mistake_of_the_sites_own_is_not_hidden(double):
    double.errors.append((400, error("invalid_request_error", "parameter_missing")))
    with pytest.raises(stripe.InvalidRequestError):
        Client().get("/charging/")


@pytest.mark.parametrize("reason", sorted(HIDDEN))
def test_whoever_found_a_card_learns_nothing(double, reason):
    double.errors.append((402, error("card_error", "card_declined", reason)))
    response = Client().get("/charging/")
    assert reason not in response.content.decode()
    assert response.json()["decline_code"] == "generic_decline"
    double.errors.append((402, error("card_error", "card_declined", reason)))
    assert reason not in Client().get("/charging/", headers=PAGE).content.decode()


def test_as_a_page_in_the_readers_language(double):
    double.errors.append((402, error("card_error", "card_declined", "insufficient_funds")))
    response = Client().get("/charging/", headers=PAGE)
    assert response.status_code == 402
    assert response.headers["Content-Type"].startswith("text/html")
    assert "There is not enough money on this card" in response.content.decode()
    assert 'href="/charging/"' in response.content.decode()
    assert "Content-Security-Policy" in response.headers


def test_a_sites_own_failure_with_the_offers(item):
    RAISED["it"] = PaymentFailed("no_credit", resource="item", detail="Your credit is used up.")
    response = Client().get("/raising/")
    body = response.json()
    assert response.status_code == 402
    assert (body["code"], body["detail"]) == ("no_credit", "Your credit is used up.")
    assert body["accepts"][0]["maxAmountRequired"] == "10000"
    assert "PAYMENT-REQUIRED" in response.headers


def test_of_what_is_not_for_sale_without_them(db):
    RAISED["it"] = PaymentFailed(resource="nothing", retry=Retry.NEVER)
    response = Client().get("/raising/", headers={"Accept": "application/problem+json"})
    assert (response.status_code, response.json()["retry"]) == (402, "never")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_retry_that_is_none():
    with pytest.raises(ValueError, match="perhaps"):
        PaymentFailed(retry="perhaps")


def test_a_view_that_is_sold_takes_nothing_for_it(item, facilitator):
    buyer = Buyer()
    response = Client().get("/item/", headers=buyer.pays(Client().get("/item/")))
    assert response.status_code == 402
    assert response.json()["code"] == "card_declined"
    assert Payment.objects.get().state == State.FAILED
    assert facilitator.requests == [] or all("settle" not in r[0] for r in facilitator.requests)


def test_other_exceptions_go_their_way(db):
    RAISED["it"] = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        Client().get("/raising/")
