from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from paywall.models import Account, Price, Resource
from paywall.rails.card import api
from paywall.rails.card.terms import account_for
from tests import stripe_double as doubles


@pytest.fixture
def stripe(paywall_settings, monkeypatch) -> Iterator[doubles.Stripe]:
    """The package does not ask again by itself, and so waits for nothing."""
    monkeypatch.setattr(api, "RETRIES", 0)
    with doubles.stripe_double() as double:
        keys = {"API_KEY": doubles.KEY, "WEBHOOK_SECRET": doubles.SECRET, "API_BASE": double.url}
        paywall_settings(STRIPE=keys)
        yield double


@pytest.fixture
def till(db, stripe) -> Account:
    """Where cards are taken, in dollars."""
    account = account_for("USD", True)
    account.save()
    return account


@pytest.fixture
def item(till) -> Resource:
    """For a dollar, paid once and open for good; nothing but cards are taken."""
    resource = Resource.objects.create(slug="item", title="Item", access="forever")
    Price.objects.create(resource=resource, amount=Decimal("1.00"))
    return resource


@pytest.fixture
def buyer(db) -> Buyer:
    return Buyer()


class Buyer(Client):
    """A browser: it says where its requests come from."""

    PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}

    def page(self, path: str = "/item/") -> Any:
        return self.get(path, headers=self.PAGE)

    def ticket(self, path: str = "/item/") -> str:
        text = self.page(path).content.decode()
        form = text.partition('data-paywall-way="card"')[2]
        return form.partition('name="ticket" value="')[2].partition('"')[0]

    def press(self, path: str = "/item/", **headers: str) -> Any:
        """The button that pays by card."""
        sent = {"Accept": "application/json", "Sec-Fetch-Site": "same-origin", **headers}
        return self.post("/paywall/pay/card/", {"ticket": self.ticket(path)}, headers=sent)

    def orders(self, path: str = "/item/") -> tuple[str, str]:
        """The public id of the order that it makes, and its session."""
        told = self.press(path).json()
        return told["order"], told["goes_to"].rpartition("/")[2]

    def returns(self, order: str) -> Any:
        return self.get(f"/paywall/orders/{order}/returned/", headers=self.PAGE)


def tell(event: Any, **signed: Any) -> Any:
    """Carry an event of Stripe's to the site, as Stripe does."""
    body = json.dumps(event).encode()
    headers = {"Stripe-Signature": doubles.signature(body, **signed)}
    return Client().post(
        "/paywall/hooks/card/", body, content_type="application/json", headers=headers
    )
