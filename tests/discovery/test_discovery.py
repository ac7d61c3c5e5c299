"""What is sold is found: by programs, crawlers and people, from the same resources."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from x402.extensions.bazaar.facilitator_client import _parse_list_response

from paywall import conf
from paywall.discovery import annotate, listing
from paywall.models import Account, Price, Resource
from site_demo.magazine.models import Article

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_listing")]

EVERY = {
    "x402": "/.well-known/x402",
    "openapi": "/openapi.json",
    "llms": "/llms.txt",
    "robots": "/robots.txt",
    "bazaar": "/discovery/resources",
    "prices": "/paywall/prices/",
}
DECLARED = "http://testserver/declared/"
"""What the tests' own code declares is there from `migrate` on."""
PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def article(account) -> Article:
    made = Article.objects.create(slug="soup", title="The long now of [soup]", teaser="Slow.")
    made.sell(Decimal("0.10"), slug="article-soup", description="Slow.\nVery.", access="forever")
    return made


@pytest.fixture
def archive(make_resource) -> Resource:
    return make_resource("archive", price="0.02", path="/archive/**", methods="GET, POST")


def got(name: str, **headers: str) -> Any:
    response = Client().get(EVERY[name], headers=headers)
    assert response.status_code == 200
    return response


def openapi() -> Any:
    return json.loads(got("openapi").content)


def test_a_view_that_declares_its_slug_is_found_at_its_path(item):
    operation = openapi()["paths"]["/item/"]["get"]
    assert operation["summary"] == "Item"
    assert operation["responses"]["402"] == {"description": "Payment Required"}
    info = operation["x-payment-info"]
    assert info["price"] == {"mode": "fixed", "currency": "USD", "amount": "0.01"}
    (offer,) = info["offers"]
    assert (offer["intent"], offer["method"], offer["amount"]) == ("charge", "evm", "10000")
    assert offer["currency"] == "0x036CbD53842c5426634e7929541eC2318f3dCF7e"


def test_an_object_is_found_where_it_says(article):
    assert "/articles/soup/" in openapi()["paths"]
    found = json.loads(got("x402").content)
    assert found["resources"] == ["http://testserver/articles/soup/", DECLARED]
    item = found["items"][0]
    assert item["accepts"][0]["amount"] == "100000"


def test_a_path_rule_is_found_as_a_template(archive):
    operations = openapi()["paths"]["/archive/{path}"]
    assert set(operations) == {"get", "post"}
    assert operations["get"]["parameters"][0]["name"] == "path"
    assert json.loads(got("x402").content)["resources"] == [DECLARED], "no URL to ask for"


def test_what_is_listed_is_what_the_challenge_says(article, archive):
    found = json.loads(got("x402").content)["items"][0]
    challenge = Client().get("/articles/soup/")
    from paywall.testing import challenge_of

    assert found["accepts"] == challenge_of(challenge)["accepts"]


def test_the_official_client_reads_the_bazaar(article, item):
    answer = _parse_list_response(json.loads(got("bazaar").content))
    assert [one.resource for one in answer.items]
    assert (answer.x402_version, answer.pagination.total) == (2, len(answer.items))
    page = json.loads(Client().get(EVERY["bazaar"], {"limit": "1", "offset": "1"}).content)
    assert len(page["items"]) == 1
    for odd in ("-1", "x", "9" * 30, "\u0663"):
        assert Client().get(EVERY["bazaar"], {"limit": odd}).status_code == 200


def test_for_language_models(article, archive):
    text = got("llms").content.decode()
    assert (
        "- [The long now of (soup)](http://testserver/articles/soup/): 0.10 USD. Slow. Very."
        in text
    )
    assert "/archive/%7Bpath%7D" in text


def test_for_crawlers(item):
    text = got("robots").content.decode()
    assert "# What is sold here: http://testserver/.well-known/x402" in text
    assert "Allow: /paywall/prices/" in text
    assert "Disallow: /paywall/\n" in text


def test_for_people(article, archive, make_resource):
    make_resource("ten", price="1.00", access="balance", policy="before")
    text = got("prices").content.decode()
    assert '<a href="/articles/soup/">The long now of [soup]</a>' in text
    assert "<strong>$0.10</strong>" in text
    assert "/archive/{path}" in text
    assert 'href="/paywall/balance/add/ten/"' in text


def test_titles_are_text(make_resource):
    resource = make_resource("odd", path="/a/*")
    resource.title, resource.description = "<script>alert(1)</script>", "a\n- [b](c)"
    resource.save()
    assert "<script>alert" not in got("prices").content.decode()
    assert "\n- [b](c)" not in got("llms").content.decode()


@pytest.mark.parametrize(
    "hide",
    [
        lambda item: Resource.objects.filter(pk=item.pk).update(listed=False),
        lambda item: Resource.objects.filter(pk=item.pk).update(active=False),
        lambda item: Price.objects.all()._raw_delete("default"),
    ],
    ids=["not listed", "not active", "no price"],
)
def test_what_is_not_for_sale_to_everyone_is_not_named(item, hide):
    hide(item)
    listing.forget()
    assert "/item/" not in openapi()["paths"]
    assert "Item" not in got("prices").content.decode()


def test_changes_show_at_once(item):
    assert openapi()["paths"]["/item/"]["get"]["x-payment-info"]["price"]["amount"] == "0.01"
    Price.objects.create(resource=item, amount=Decimal("0.02"))
    assert openapi()["paths"]["/item/"]["get"]["x-payment-info"]["price"]["amount"] == "0.02"
    item.listed = False
    item.save()
    assert "/item/" not in openapi()["paths"]


def test_it_is_kept_and_costs_no_query(item):
    got("x402")
    with CaptureQueriesContext(connection) as asked:
        for name in EVERY:
            got(name)
    # Path rules are looked up for every request.
    assert [one["sql"] for one in asked if '"paywall_resource"."path" = ' not in one["sql"]] == []


@pytest.mark.parametrize("name", EVERY)
def test_a_rule_for_everything_does_not_sell_it(make_resource, name):
    make_resource("all", path="/**")
    got(name)


def test_any_number_takes_as_many_queries(account, django_assert_max_num_queries):
    for number in range(30):
        article = Article.objects.create(slug=f"a{number}", title=f"A {number}", teaser="t")
        article.sell(Decimal("0.10"), slug=f"article-{number}")
    listing.forget()
    with django_assert_max_num_queries(8):
        assert len(json.loads(got("x402").content)["resources"]) == 31


@pytest.mark.parametrize("name", EVERY)
def test_each_is_public_and_the_same_is_not_sent_again(item, name):
    response = got(name)
    assert "public" in response.headers["Cache-Control"]
    assert "max-age=300" in response.headers["Cache-Control"]
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert not response.cookies
    same = Client().get(EVERY[name], headers={"If-None-Match": response.headers["ETag"]})
    assert same.status_code == 304
    assert Client().post(EVERY[name]).status_code == 405


@pytest.mark.parametrize("name", EVERY)
def test_each_has_a_switch(item, name, paywall_settings):
    paywall_settings(FOUND_BY=[other for other in EVERY if other != name])
    for other, path in EVERY.items():
        assert Client().get(path).status_code == (404 if other == name else 200)


def test_a_switch_of_another_name_is_a_mistake(paywall_settings):
    with pytest.raises(ImproperlyConfigured, match="FOUND_BY"):
        paywall_settings(FOUND_BY=["google"])
        conf.get()


def test_the_402_says_where(item, paywall_settings):
    link = Client().get("/item/").headers["Link"]
    assert '</openapi.json>; rel="service-desc"; type="application/json"' in link
    assert '</paywall/prices/>; rel="payment"' in link
    assert Client().get("/item/", headers=PERSON).headers["Link"] == link
    paywall_settings(FOUND_BY=[])
    assert "Link" not in Client().get("/item/").headers


def test_a_documents_own_operations_are_told_what_they_cost(item):
    document = annotate({"paths": {"/item/": {"get": {"summary": "Mine"}}, "/free/": {"get": {}}}})
    mine = document["paths"]["/item/"]["get"]
    assert mine["summary"] == "Mine"
    assert mine["x-payment-info"]["offers"]
    assert "402" in mine["responses"]
    assert document["paths"]["/free/"]["get"] == {}


def test_without_an_account_there_is_still_a_price(item):
    account = Account.objects.get()
    account.enabled = False
    account.save()
    listing.forget()
    assert openapi()["paths"]["/item/"]["get"]["x-payment-info"]["offers"] == []
    assert json.loads(got("x402").content)["resources"] == []
