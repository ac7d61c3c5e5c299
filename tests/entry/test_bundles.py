"""A bundle: a pass for more than a page opens the page too, and is offered beside it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.test import Client

from paywall.catalog import offers
from paywall.models import AccessPass, Price, Resource
from paywall.testing import Buyer
from tests.helpers import proof

pytestmark = pytest.mark.django_db

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
DAY = "/paywall/unlock/day/"


@pytest.fixture
def day(make_resource) -> Resource:
    return make_resource("day", price="2.00", access="period", pass_seconds=86_400)


@pytest.fixture(params=["request", "forever"])
def article(make_resource, day, request) -> Resource:
    return make_resource("article", price="0.10", access=request.param, bundle=day)


def buys(client: Client, path: str, buyer: Buyer) -> Any:
    return client.get(path, headers=buyer.pays(client.get(path)))


def opens(client: Client, path: str = "/by-object/article/", **headers: str) -> int:
    return int(client.get(path, headers=headers).status_code)


def test_its_pass_opens_the_page_as_often_as_one_likes(article, buyer, facilitator):
    reader = Client()
    assert buys(reader, DAY, buyer).status_code == 200
    assert [opens(reader) for _ in range(3)] == [200] * 3
    assert opens(Client()) == 402
    assert len(facilitator.asked("/settle")) == 1


def test_the_page_still_sells_itself(article, buyer, facilitator):
    assert buys(Client(), "/by-object/article/", buyer).status_code == 200


def test_a_page_does_not_open_its_bundle(make_resource, day, buyer, facilitator):
    make_resource("article", price="0.10", access="forever", bundle=day)
    reader = Client()
    assert buys(reader, "/by-object/article/", buyer).status_code == 200
    assert opens(reader, DAY) == 402


def test_it_is_offered_beside_the_page_and_leads_back(article, buyer, facilitator):
    text = Client().get("/by-object/article/?a=1", headers=PERSON).content.decode()
    assert "Day · $2.00" in text
    assert "Open to you for 1 day." in text
    where = f"{DAY}?next=%2Fby-object%2Farticle%2F%3Fa%3D1"
    assert where in text
    reader = Client()
    headers = {**PERSON, **buyer.pays(reader.get(where))}
    led = reader.get(where, headers=headers)
    assert (led.status_code, led["Location"]) == (302, "/by-object/article/?a=1")
    assert opens(reader) == 200


def test_it_leads_to_no_other_site(article, buyer, facilitator):
    reader, where = Client(), f"{DAY}?next=https://evil.example/"
    led = reader.get(where, headers={**PERSON, **buyer.pays(reader.get(where))})
    assert "Location" not in led.headers


def test_by_user_and_by_wallet_too(article, buyer, facilitator):
    user = get_user_model().objects.create_user("reader")
    here, there = Client(), Client()
    here.force_login(user)
    there.force_login(user)
    buys(here, DAY, buyer)
    assert opens(there) == 200
    uri = "http://testserver/by-object/article/"
    signed = {"SIGN-IN-WITH-X": proof(buyer.account, uri)}
    assert Client().get("/by-object/article/", headers=signed).status_code == 200


def test_when_it_is_over_it_opens_nothing(article, buyer, facilitator):
    reader = Client()
    buys(reader, DAY, buyer)
    AccessPass.objects.update(expires_at="2026-01-01T00:00Z")
    assert opens(reader) == 402


@pytest.mark.parametrize("change", [{"active": False}, {"access": "request", "pass_seconds": None}])
def test_a_bundle_that_is_none_any_more_opens_nothing(article, day, buyer, facilitator, change):
    reader = Client()
    buys(reader, DAY, buyer)
    Resource.objects.filter(pk=day.pk).update(**change)
    offers.forget()
    assert opens(reader) == 402
    text = Client().get("/by-object/article/", headers=PERSON).content.decode()
    assert "Day · $2.00" not in text


def test_one_that_has_no_price_any_more_is_not_offered_and_still_opens(
    article, day, buyer, facilitator
):
    reader = Client()
    buys(reader, DAY, buyer)
    Price.objects.filter(resource=day)._raw_delete("default")
    offers.forget()
    assert opens(reader) == 200
    assert "Day ·" not in Client().get("/by-object/article/", headers=PERSON).content.decode()


@pytest.mark.parametrize("bad", ["itself", "by the request"])
def test_it_has_to_be_another_one_with_a_pass(day, make_resource, bad):
    once = make_resource("once")
    day.bundle = day if bad == "itself" else once
    with pytest.raises(ValidationError, match="with a pass"):
        day.clean()


def test_strangers_cost_no_more_queries(day, make_resource, django_assert_max_num_queries):
    make_resource("article", price="0.10", access="forever", bundle=day)
    offers.load("article")
    with django_assert_max_num_queries(8):
        assert opens(Client()) == 402
