"""More requests than the site can answer: never is who pays kept out by who does not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from paywall.entry import storms
from paywall.models import Price, Resource, VisitorDay
from paywall.testing import Buyer
from paywall.visitors import crawl_log
from tests.test_front import PERSON, Answer, Asked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.matrix]

LIMIT = 3


class Clock:
    now = 1_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """One second, until the test says otherwise."""
    from paywall import front

    Clock.now = 1_000.0

    class Time:
        @staticmethod
        def time() -> float:
            return Clock.now

        monotonic = staticmethod(__import__("time").monotonic)

    monkeypatch.setattr(front, "time", Time)
    return Clock


@pytest.fixture(params=["wsgi", "asgi"])
def site(request, item, paywall_settings):
    paywall_settings(STORM=LIMIT, CACHE_SECONDS=60)
    return Asked(request.param)


def storm(site: Asked, number: int, first: int = 0, **headers: str) -> list[Answer]:
    """Each asks for another query, so that nothing is answered again."""
    return [site.get(f"/item/?n={n}", **headers) for n in range(first, first + number)]


MIDDLEWARES = {"x-content-type-options", "referrer-policy", "cross-origin-opener-policy"}


def plain(answer: Answer) -> Any:
    """Without what middleware of the site adds, and what a server does itself."""
    headers = [pair for pair in answer.headers if pair[0] not in MIDDLEWARES | {"content-length"}]
    return Answer(answer.status, headers, answer.body).same


def test_off_by_default(item, paywall_settings):
    paywall_settings(CACHE_SECONDS=60)
    site = Asked("wsgi")
    assert {answer.status for answer in storm(site, 30)} == {402}
    assert site.times == 30


def test_without_the_front_door_somebody_is_told_once(item, paywall_settings, caplog):
    paywall_settings(STORM=5)
    for _ in range(3):
        assert Client().get("/item/").status_code == 402
    assert caplog.text.count("there is no front door") == 1


def test_first_without_django_then_not_now(site):
    statuses = [answer.status for answer in storm(site, 20)]
    assert statuses == [402] * LIMIT * storms.ALL_AFTER + [429] * 8
    assert site.times == LIMIT


def test_without_django_it_is_what_the_gate_says(site):
    storm(site, LIMIT)
    for path, headers in (
        ("/item/?n=99", {}),
        ("/item/?q=a%20b&x=%C3%A9", {"Accept": "application/problem+json"}),
        ("/item/", {"Accept": "application/json"}),
    ):
        short, whole = site.get(path, **headers), site.direct(path, **headers)
        assert site.times == LIMIT, path
        assert plain(short) == plain(whole), path


def test_a_head_has_no_body(site):
    storm(site, LIMIT)
    head = site.get("/item/?n=99", "HEAD")
    assert (head.status, head.body, site.times) == (402, b"", LIMIT)
    storm(site, 20)
    assert (site.get("/item/?n=99", "HEAD").status, head.body) == (429, b"")


def test_who_pays_is_let_through(site, facilitator, settings):
    settings.PAYWALL = {**settings.PAYWALL, "STORM": LIMIT, "CACHE_SECONDS": 60}
    offer = site.get("/item/?n=0")
    storm(site, 40)
    assert site.get("/item/?n=0").status in (402, 429)
    paying = Buyer().pays(_as_response(offer))
    paid = site.get("/item/?n=0", **paying)
    assert paid.status == 200, paid.body


def test_an_offer_made_in_the_storm_is_paid(site, facilitator, settings):
    settings.PAYWALL = {**settings.PAYWALL, "STORM": LIMIT, "CACHE_SECONDS": 60}
    storm(site, LIMIT)
    before = site.times
    offer = site.get("/item/?who=me")
    assert site.times == before, "Django has not seen it"
    paid = site.get("/item/?who=me", **Buyer().pays(_as_response(offer)))
    assert paid.status == 200, paid.body


def _as_response(answer: Answer) -> Any:
    class Response:
        status_code = answer.status
        content = answer.body
        headers = {name.title(): value for name, value in answer.headers}

        def json(self) -> Any:
            return json.loads(self.content)

    made = Response()
    made.headers["PAYMENT-REQUIRED"] = made.headers.get("Payment-Required", "")
    return made


def test_the_next_second_is_another_one(site, clock):
    assert storm(site, 30)[-1].status == 429
    clock.now += 1
    assert storm(site, 1, first=50)[0].status == 402
    assert site.times == LIMIT + 1


def test_who_brings_a_cookie_is_asked_django_about(site):
    storm(site, 30)
    assert site.get("/item/?n=1", Cookie="sessionid=x").status == 402
    assert site.times == LIMIT + 1


def test_what_is_free_is_kept_from_nobody(site):
    storm(site, 30)
    assert site.get("/free/async/?n=1").status == 200
    assert site.get("/no-such-page/?n=1").status == 404


def test_another_address_is_not_known_yet(site, make_resource):
    """The first who asks there is answered by the site, which says that it is sold."""
    make_resource("absent")
    storm(site, 30)
    assert site.get("/async-item/?n=1").status == 402


def test_what_became_free_is_seen(site, clock):
    storm(site, 30)
    Resource.objects.update(active=False)
    from paywall.catalog import offers

    offers.forget()
    clock.now += 1
    assert site.get("/item/?n=77").status == 503
    assert storm(site, 20, first=100)[-1].status == 503, "no more told what it cost"


def test_people_get_their_page_until_all_are_too_many(site):
    answers = storm(site, 30, **PERSON)
    pages = [answer for answer in answers if answer.status == 402]
    assert len(pages) == LIMIT * storms.ALL_AFTER == site.times
    assert all(b"<html" in answer.body for answer in pages)
    told = dict(answers[-1].headers)
    assert (answers[-1].status, told["retry-after"]) == (429, "3")
    assert told["content-type"].startswith("text/html")
    assert b'http-equiv="refresh" content="3"' in answers[-1].body


def test_a_program_is_told_when_to_come_again(site):
    last = storm(site, 30)[-1]
    told = dict(last.headers)
    assert (last.status, told["retry-after"], told["cache-control"]) == (429, "3", "no-store")
    body = json.loads(last.body)
    assert (body["code"], body["status"], body["retry"]) == ("too_busy", 429, "later")


def test_where_it_depends_on_who_asks_nothing_is_said_without_django(site, item, rule_for_bots):
    rule_for_bots()
    assert [answer.status for answer in storm(site, 15)][: LIMIT * storms.ALL_AFTER] == [402] * 12
    assert site.times == LIMIT * storms.ALL_AFTER
    assert storm(site, 1)[0].status == 429


@pytest.fixture
def rule_for_bots(item):
    from paywall.models import VisitorRule

    return lambda: VisitorRule.objects.create(who="train", action="refuse", resource=item)


def test_a_price_that_changed_is_not_told_for_longer_than_it_is_kept(
    request, item, paywall_settings
):
    paywall_settings(STORM=1, CACHE_SECONDS=0)
    site = Asked("wsgi")
    storm(site, 2)
    assert site.times == 2, "nothing is kept, so Django is asked"
    Price.objects.create(resource=item, amount=Decimal("0.07"))
    assert b'"70000"' in storm(site, 1, first=9)[0].body


def test_they_are_counted(site, settings):
    settings.PAYWALL = {**settings.PAYWALL, "CRAWL_LOG": True}
    crawl_log.forget()
    storm(site, 20)
    crawl_log.write()
    row = VisitorDay.objects.get()
    assert (row.asked, row.refused) == (12, 8)


def test_memory_is_bounded(site, monkeypatch, settings):
    monkeypatch.setattr("paywall.memory.MOST", 10)
    settings.PAYWALL = {**settings.PAYWALL, "STORM": 1_000}
    for number in range(60):
        site.get("/item/", Host="testserver" if number % 2 else "localhost")
        site.get(f"/free/async/?n={number}")
    assert len(site.front.storm.sold) <= 10
