from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal
from functools import partial
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone

from paywall.catalog import offers
from paywall.exceptions import NotForSale, Refused
from paywall.models import Price
from paywall.protocols.x402.requirements import names, requirements
from paywall.rails.evm.terms import account_for
from paywall.rails.evm.tokens import TOKENS
from paywall.testing import challenge_of
from paywall.vocabulary import Credential
from site_demo.magazine.models import Article
from tests.conftest import PAY_TO
from tests.helpers import at_once

pytestmark = pytest.mark.django_db


def supersede(item, amount, seconds_ago=0.0, currency="USD"):
    return Price.objects.create(
        resource=item,
        amount=Decimal(amount),
        currency=currency,
        valid_from=timezone.now() - timedelta(seconds=seconds_ago),
    )


def takes(sale, offer, at=None):
    credential = Credential(
        "x402/2", "exact", offer.network, {}, partial(names, requirements(offer))
    )
    return offers.match(sale, credential, at or time.time())


def test_price_times_account_is_an_offer(item, account):
    (offer,) = offers.load("item").offers
    assert requirements(offer) == {
        "scheme": "exact",
        "network": "eip155:84532",
        "asset": account.terms["asset"],
        "amount": "10000",
        "payTo": PAY_TO,
        "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    }


def test_offers_come_in_the_owners_order(item, account):
    for order, key in [(2, "usdc-polygon"), (1, "usdc-base")]:
        other = account_for(key, PAY_TO, order=order)
        other.save()
    networks = [offer.network for offer in offers.load("item").offers]
    assert networks == ["eip155:84532", "eip155:8453", "eip155:137"]


def test_a_currency_meets_only_its_own_accounts(item, account):
    euro = account_for("eurc-base", PAY_TO)
    euro.save()
    supersede(item, "0.02", currency="EUR")
    found = {(offer.symbol, offer.amount) for offer in offers.load("item").offers}
    assert found == {("USDC", 10_000), ("EURC", 20_000)}


def test_a_resource_is_found_by_its_key_too(item):
    assert offers.load(item.pk).slug == "item"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda item, account: item.delete(), "no resource"),
        (lambda item, account: item.prices.all().delete(), "needs a price"),
        (lambda item, account: account.delete(), "enabled account"),
        (lambda item, account: setattr(item, "active", False) or item.save(), "not active"),
        (
            lambda item, account: setattr(account, "enabled", False) or account.save(),
            "enabled account",
        ),
    ],
)
def test_what_cannot_be_sold_says_why(item, account, spoil, message):
    spoil(item, account)
    with pytest.raises(NotForSale, match=message):
        offers.load("item")


def test_a_price_too_fine_for_the_token_is_not_offered(item, account, caplog):
    supersede(item, "0.0000001")
    with pytest.raises(NotForSale):
        offers.load("item")
    assert "finer than the unit" in caplog.text


# -------------------------------------------------------------------------------- Grace


def test_an_offer_can_be_taken_for_its_time_after_the_price_changed(item, account):
    before = offers.load("item")
    supersede(item, "0.05")
    sale = offers.load("item")
    assert [offer.amount for offer in sale.offers] == [50_000]
    now = time.time()
    assert takes(sale, before.offers[0], now).amount == 10_000
    assert takes(sale, before.offers[0], now + 295).amount == 10_000
    with pytest.raises(Refused) as caught:
        takes(sale, before.offers[0], now + 310)
    assert caught.value.code == "invalid_payment_requirements"


def test_a_price_superseded_long_ago_is_gone(item, account):
    Price.objects.filter(resource=item).delete()
    old = supersede(item, "0.07", seconds_ago=1000)
    supersede(item, "0.08", seconds_ago=301)
    sale = offers.load("item")
    assert sale.former_offers == ()
    assert sale.offers[0].price_id != old.pk


def test_every_price_of_the_last_minutes_can_be_taken(item, account):
    Price.objects.filter(resource=item).delete()
    for seconds_ago, amount in [(1000, "0.1"), (200, "0.2"), (100, "0.3"), (0, "0.4")]:
        supersede(item, amount, seconds_ago)
    sale = offers.load("item")
    assert [offer.amount for offer in sale.offers] == [400_000]
    until = {offer.amount: round(end - time.time()) for offer, end in sale.former_offers}
    assert until == {
        100_000: pytest.approx(100, abs=3),
        200_000: pytest.approx(200, abs=3),
        300_000: pytest.approx(300, abs=3),
    }


def test_a_price_of_the_future_is_not_offered(item, account):
    supersede(item, "0.05", seconds_ago=-60)
    assert offers.load("item").offers[0].amount == 10_000


def test_an_account_that_was_disabled_can_be_paid_for_a_while(item, account):
    before = offers.load("item").offers[0]
    other = account_for("usdc-base", PAY_TO)
    other.save()
    account.enabled = False
    account.save()
    sale = offers.load("item")
    assert [offer.network for offer in sale.offers] == ["eip155:8453"]
    assert takes(sale, before) == before


# ------------------------------------------------------------------------------ Matching


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "9999"},
        {"amount": "010000"},
        {"amount": "1"},
        {"payTo": "0x" + "11" * 20},
        {"network": "eip155:8453"},
        {"asset": TOKENS["usdc-base"].asset},
        {"scheme": "upto"},
        {"extra": {"name": "USD Coin", "version": "2"}},
        {"extra": {}},
    ],
)
def test_an_offer_that_was_never_made_is_refused(item, account, change):
    sale = offers.load("item")
    accepted = {**requirements(sale.offers[0]), **change}
    credential = Credential(
        "x402/2", accepted["scheme"], accepted["network"], {}, partial(names, accepted)
    )
    with pytest.raises(Refused):
        offers.match(sale, credential, time.time())


def test_spelling_and_timeouts_do_not_matter(item, account):
    sale = offers.load("item")
    accepted = requirements(sale.offers[0])
    accepted |= {
        "payTo": accepted["payTo"].lower(),
        "asset": accepted["asset"].lower(),
        "maxTimeoutSeconds": 5,
    }
    credential = Credential("x402/2", "exact", accepted["network"], {}, partial(names, accepted))
    assert offers.match(sale, credential, time.time()) == sale.offers[0]


# --------------------------------------------------------------------------------- Cache


def test_what_is_kept_costs_no_query(item, paywall_settings, django_assert_num_queries):
    paywall_settings(CACHE_SECONDS=60)
    loaded = offers.load("item")
    with django_assert_num_queries(0):
        assert offers.peek("item") is loaded


def test_what_is_kept_gets_stale(item, paywall_settings, monkeypatch):
    paywall_settings(CACHE_SECONDS=60)
    offers.load("item")
    assert offers.peek("item") is not None
    later = time.monotonic() + 61
    monkeypatch.setattr(offers, "time", SimpleNamespace(monotonic=lambda: later))
    assert offers.peek("item") is None


def test_a_change_in_this_process_shows_at_once(item, account, paywall_settings):
    paywall_settings(CACHE_SECONDS=60)
    offers.load("item")
    supersede(item, "0.05")
    assert offers.peek("item") is None


def test_the_cache_is_bounded(item, paywall_settings, monkeypatch):
    paywall_settings(CACHE_SECONDS=60)
    monkeypatch.setattr(offers, "MAX_CACHED", 1)
    offers.load("item")
    offers.load(item.pk)
    assert offers.peek("item") is None
    assert offers.peek(item.pk) is not None


@pytest.mark.django_db(transaction=True)
def test_threads_may_load_at_once(item, paywall_settings):
    paywall_settings(CACHE_SECONDS=60)
    from django.db import connection

    def load():
        found.append(offers.load("item").slug)
        connection.close()

    found: list[str] = []
    at_once([load] * 8)
    assert found == ["item"] * 8


def test_what_is_settled_first_says_so(make_resource, account):
    """x402's own word for it, so that a buyer can choose."""
    make_resource("dear", policy="before")
    make_resource("cheap")
    assert requirements(offers.load("dear").offers[0])["extra"]["paymentFlow"] == "upfront"
    assert "paymentFlow" not in requirements(offers.load("cheap").offers[0])["extra"]


def test_a_policy_that_changed_meanwhile_refuses_nobody(make_resource, account):
    item = make_resource(policy="before")
    before = offers.load("item").offers[0]
    item.policy = "after"
    item.save()
    assert takes(offers.load("item"), before).amount == before.amount


def test_an_objects_resource_is_looked_up_once_a_second(
    account, paywall_settings, django_assert_num_queries
):
    paywall_settings(CACHE_SECONDS=60)
    article = Article.objects.create(slug="soup", title="Soup", body="b")
    resource = article.sell("0.10")
    offers.forget()
    assert offers.of_object(article) == resource.pk
    with django_assert_num_queries(0):
        assert offers.of_object(Article(pk=article.pk)) == resource.pk
    resource.save()  # whatever changes in this process is seen at once
    with django_assert_num_queries(1):
        assert offers.of_object(Article(pk=article.pk)) == resource.pk


def test_that_an_object_has_none_is_not_kept(account, paywall_settings):
    paywall_settings(CACHE_SECONDS=60)
    article = Article.objects.create(slug="soup", title="Soup", body="b")
    assert offers.of_object(article) is None
    resource = article.sell("0.10")
    assert offers.of_object(Article.objects.get()) == resource.pk


class TestSoldBy:
    """Articles of the demo are sold by their slug."""

    @pytest.fixture
    def soup(self, account) -> Article:
        article = Article.objects.create(slug="soup", title="Soup", body="b")
        article.sell("0.05", access="forever")
        return article

    def test_a_challenge_costs_no_query_when_nothing_changed(
        self, soup, paywall_settings, django_assert_num_queries
    ):
        paywall_settings(CACHE_SECONDS=60)
        client = Client()
        assert client.get("/articles/soup/").status_code == 402
        with django_assert_num_queries(0):
            assert challenge_of(client.get("/articles/soup/"))["accepts"][0]["amount"] == "50000"

    def test_what_there_is_not_is_not_found_and_not_kept(self, soup, paywall_settings):
        paywall_settings(CACHE_SECONDS=60)
        assert Client().get("/articles/salt/").status_code == 404
        Article.objects.create(slug="salt", title="Salt", body="b").sell("0.01")
        assert Client().get("/articles/salt/").status_code == 402

    def test_another_price_is_seen(self, soup, paywall_settings):
        paywall_settings(CACHE_SECONDS=0)
        Client().get("/articles/soup/")
        Price.objects.create(resource=soup.paywall_resource, amount=Decimal("0.07"))
        told = challenge_of(Client().get("/articles/soup/"))
        assert told["accepts"][0]["amount"] == "70000"

    def test_one_that_is_sold_no_more_is_not_given_away(self, soup, paywall_settings):
        paywall_settings(CACHE_SECONDS=0)
        assert Client().get("/articles/soup/").status_code == 402
        soup.paywall_resource.delete()
        assert Client().get("/articles/soup/").status_code == 503

    def test_memory_is_bounded(self, soup, paywall_settings, monkeypatch):
        monkeypatch.setattr("paywall.memory.MOST", 5)
        by = Article.sold_by("slug")
        for number in range(20):
            offers.keep_sold_by(by, {"slug": str(number)}, number)
        assert len(offers._by_fields) <= 5

    def test_it_names_what_the_view_has(self, soup):
        with pytest.raises(TypeError, match="name at least one field"):
            Article.sold_by()
        with pytest.raises(ImproperlyConfigured, match="no argument named 'isbn'"):
            Article.sold_by("isbn")(None, slug="soup")
