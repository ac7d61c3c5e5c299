"""`paywall_doctor` on cards: the key, and where Stripe tells of payments."""

from __future__ import annotations

import pytest

from paywall.findings import Grade
from paywall.rails.card.webhooks import EVENTS
from tests import stripe_double as doubles
from tests.helpers import found_by_doctor as said


@pytest.fixture
def endpoint(till, stripe):
    """A webhook as docs/cards.md has it made."""

    def make(**changes):
        its = {
            "url": "https://testserver/paywall/hooks/card/",
            "status": "enabled",
            "enabled_events": list(EVENTS),
            **changes,
        }
        return stripe.new("we", "webhook_endpoint", **its)

    return make


def test_all_is_well(endpoint):
    endpoint()
    well = said(Grade.OK)
    assert "Stripe takes the key" in well
    assert "Stripe tells of payments, refunds and disputes" in well


def test_any_event_will_do(endpoint):
    endpoint(enabled_events=["*"])
    assert "Stripe tells of payments" in said(Grade.OK)


def test_no_webhook(till):
    assert "no webhook of Stripe leads to /paywall/hooks/card/" in said(Grade.FAIL)


def test_one_of_another_site_is_none(endpoint):
    endpoint(url="https://staging.example/paywall/hooks/card/")
    assert "no webhook of Stripe leads to" in said(Grade.FAIL)


def test_one_that_is_turned_off(endpoint):
    endpoint(status="disabled")
    assert "Stripe's webhook is turned off" in said(Grade.FAIL)


def test_one_that_does_not_tell_all(endpoint):
    endpoint(enabled_events=[event for event in EVENTS if event != "charge.refunded"])
    assert "does not tell of charge.refunded" in said(Grade.FAIL)


def test_one_whose_secret_is_not_here(endpoint, paywall_settings, stripe):
    endpoint()
    paywall_settings(STRIPE={"API_KEY": doubles.KEY, "API_BASE": stripe.url})
    assert "Stripe's webhook has no secret here" in said(Grade.FAIL)


def test_stripe_does_not_answer(endpoint, paywall_settings):
    paywall_settings(
        STRIPE={"API_KEY": doubles.KEY, "WEBHOOK_SECRET": "x", "API_BASE": "http://127.0.0.1:9"}
    )
    assert "Stripe does not answer" in said(Grade.FAIL)
    assert doubles.KEY not in said(Grade.FAIL)


@pytest.mark.urlconf("tests.test_checks")
def test_the_urls_are_not_mounted(endpoint):
    assert "paywall.urls is not mounted" in said(Grade.FAIL)
