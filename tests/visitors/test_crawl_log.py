"""Requests are counted in memory, by who it was and how they ended."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import DatabaseError
from django.test import Client, RequestFactory

from paywall import front
from paywall.models import Audience, Price, VisitorDay
from paywall.testing import Buyer
from paywall.visitors import crawl_log
from paywall.visitors.crawl_log import Ended
from tests.helpers import at_once
from tests.visitors.test_recognition import CHROME, GOOGLEBOT, GPTBOT

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(paywall_settings):
    paywall_settings(CRAWL_LOG=True)


def ask(agent: str = "", **more: Any) -> Any:
    headers = {"User-Agent": agent, **more.pop("headers", {})}
    return Client(headers=headers).get("/item/", **more)


def counted() -> dict[tuple[str, str], dict[str, int]]:
    """What is written, by kind and bot."""
    crawl_log.write()
    names = [*(ended.name.lower() for ended in Ended), "revenue_units", "missed_units"]
    return {
        (row.kind, row.bot): {name: value for name in names if (value := getattr(row, name))}
        for row in VisitorDay.objects.all()
    }


def test_each_kind(item, facilitator, paywall_settings, listed):
    paywall_settings(CRAWL_LOG=True, BOTS={"GPTBot": {"ADDRESSES": ["https://a.example/list"]}})
    listed("https://a.example/list", "192.0.2.0/24")
    for agent, address in (
        (CHROME, "198.51.100.1"),
        (GPTBOT, "192.0.2.1"),
        (GPTBOT, "198.51.100.1"),
        (GOOGLEBOT, "192.0.2.1"),
        ("my script", "192.0.2.1"),
    ):
        ask(agent, REMOTE_ADDR=address)
    counted()  # also reads what the worker has fetched
    ask(GPTBOT, REMOTE_ADDR="192.0.2.1")
    ask("my script", headers=Buyer().pays(ask("my script")))
    assert counted() == {
        ("browser", ""): {"asked": 1},
        ("verified", "GPTBot"): {"asked": 1},
        ("claimed", "GPTBot"): {"asked": 2},
        ("claimed", "Googlebot"): {"asked": 1},
        ("unknown", ""): {"asked": 2},
        ("paying", ""): {"paid": 1, "revenue_units": 1_000_000},
    }


def test_how_each_ends(make_resource, facilitator, paywall_settings, rule):
    item = make_resource("item", access="forever")
    client = Client(headers={"User-Agent": CHROME})
    client.get("/item/", headers=Buyer().pays(client.get("/item/")))
    client.get("/item/")
    rule("train", "refuse")
    ask(GPTBOT)
    paywall_settings(CRAWL_LOG=True, MONITOR=True)
    ask("my script")
    assert counted() == {
        ("browser", ""): {"asked": 1, "returned": 1},
        ("paying", ""): {"paid": 1, "revenue_units": 1_000_000},
        ("claimed", "GPTBot"): {"refused": 1},
        ("unknown", ""): {"monitored": 1, "missed_units": 1_000_000},
    }
    assert VisitorDay.objects.filter(currency="USD", resource=item).count() == 4


def test_free_requests(item):
    audience = Audience.objects.create(name="all", kind="everyone")
    Price.objects.create(
        resource=item,
        audience=audience,
        amount=Decimal(0),
        free_uses=1,
        free_per="address",
        free_every="day",
    )
    ask(CHROME), ask(CHROME)
    assert counted() == {("browser", ""): {"free": 1, "asked": 1}}


def test_what_was_written_is_added_to(item):
    ask(CHROME)
    assert counted() == {("browser", ""): {"asked": 1}}
    ask(CHROME), ask(CHROME)
    assert counted() == {("browser", ""): {"asked": 3}}
    assert counted() == {("browser", ""): {"asked": 3}}, "each is counted once"


def test_of_what_is_no_more_nothing_is_kept(item, make_resource):
    ask(CHROME)
    gone = make_resource("gone")
    crawl_log.count(Ended.ASKED, gone.pk, "USD", CHROME)
    gone.prices.all()._raw_delete("default")
    gone.delete()
    assert counted() == {("browser", ""): {"asked": 1}}


def test_off(item, paywall_settings):
    paywall_settings(CRAWL_LOG=False)
    ask(CHROME)
    assert counted() == {}


def test_nobody_is_named(item):
    """No address, no User-Agent, nothing of a URL."""
    ask("a name: ada@example.com", REMOTE_ADDR="192.0.2.77")
    counted()
    text = repr(list(VisitorDay.objects.values()))
    assert "192.0.2" not in text
    assert "ada" not in text


def test_memory_is_bounded_whatever_strangers_send(item, monkeypatch):
    monkeypatch.setattr(crawl_log, "MOST", 50)
    for number in range(400):
        crawl_log.count(Ended.ASKED, item.pk, "USD", f"agent {number}" + "x" * 5_000)
    assert len(crawl_log._State.counts.numbers) <= 51
    assert max(len(key[3]) for key in crawl_log._State.counts.numbers) <= 256
    crawl_log.write()
    assert sum(VisitorDay.objects.values_list("asked", flat=True)) == 400, "all are counted"


def test_a_database_that_is_away_costs_counts_and_nothing_else(item, monkeypatch, caplog):
    def away(*_: Any) -> None:
        raise DatabaseError("away")

    ask(CHROME)
    monkeypatch.setattr(crawl_log, "_add", away)
    assert crawl_log.write() == 0
    assert "cannot be written" in caplog.text
    assert ask(CHROME).status_code == 402


@pytest.mark.django_db(transaction=True)
def test_it_is_written_now_and_then_beside_the_requests(item, monkeypatch):
    monkeypatch.setattr(crawl_log, "EVERY", 0.0)
    crawl_log._State.due_at = 0.0
    ask(CHROME)
    for _ in range(200):
        if VisitorDay.objects.exists():
            break
        time.sleep(0.02)
    assert VisitorDay.objects.get().asked == 1
    for thread in threading.enumerate():
        if thread.name == "paywall-crawl-log":
            thread.join()


@pytest.mark.django_db(transaction=True)
def test_two_processes_add_to_the_same_rows(item):
    from paywall import business_days

    row = crawl_log._Row(business_days.today(), item.pk, "browser", "", "USD", "")
    at_once([lambda: crawl_log._add({row: [1, 0, 0, 0, 0, 0, 0, 0]})] * 8)
    assert VisitorDay.objects.get().asked == 8


@pytest.mark.django_db(transaction=True)
def test_the_front_door_counts_too(item, paywall_settings):
    paywall_settings(CRAWL_LOG=True, CACHE_SECONDS=60)
    door = front.wsgi(WSGIHandler())
    for _ in range(5):
        environ = RequestFactory(headers={"User-Agent": CHROME}).get("/item/").environ
        list(door(environ, lambda *_: None))
    assert len(door.kept._questions) == 1
    assert counted() == {("browser", ""): {"asked": 5}}


@pytest.mark.django_db(transaction=True)
def test_where_rules_make_a_difference_nothing_is_shared(item, paywall_settings, rule):
    rule("train", "refuse")
    paywall_settings(CACHE_SECONDS=60)
    door = front.wsgi(WSGIHandler())
    said = []
    for agent in (CHROME, GPTBOT):
        environ = RequestFactory(headers={"User-Agent": agent}).get("/item/").environ
        list(door(environ, lambda status, *_: said.append(status[:3])))
    assert said == ["402", "403"]
