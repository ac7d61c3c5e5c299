"""What the owner decided about visitors: who reads, who pays, who is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, transaction
from django.test import AsyncClient, Client

from paywall.models import Audience, Payment, Price, VisitorRule
from paywall.testing import Buyer, challenge_of
from tests.helpers import code
from tests.shop.views import CALLS
from tests.visitors.test_recognition import CHROME, GOOGLEBOT, GPTBOT

pytestmark = pytest.mark.django_db

OURS, ELSEWHERE = "192.0.2.1", "198.51.100.1"


@pytest.fixture(autouse=True)
def bots(paywall_settings, listed):
    """All of them come from one range."""
    paywall_settings(
        BOTS={
            "GPTBot": {"ADDRESSES": ["https://a.example/list"]},
            "Googlebot": {"ADDRESSES": ["https://a.example/list"], "DOMAINS": []},
        }
    )
    listed("https://a.example/list", "192.0.2.0/24")


def ask(agent: str = "", address: str = OURS, path: str = "/item/", **more: Any) -> Any:
    headers = {"User-Agent": agent, **more.pop("headers", {})}
    return Client(headers=headers).get(path, REMOTE_ADDR=address, **more)


def status(agent: str = "", address: str = OURS, **more: Any) -> int:
    return ask(agent, address, **more).status_code


class TestFree:
    def test_who_proves_to_be_it_reads(self, item, rule):
        rule("search", "free")
        response = ask(GOOGLEBOT)
        assert response.status_code == 200
        assert "private" in response.headers["Cache-Control"]
        assert not Payment.objects.exists()

    def test_who_only_says_so_pays(self, item, rule):
        rule("search", "free")
        assert status(GOOGLEBOT, ELSEWHERE) == 402

    def test_others_pay(self, item, rule):
        rule("search", "free")
        assert status(GPTBOT) == status(CHROME) == status() == 402

    def test_one_bot_by_its_name(self, item, rule):
        rule("one", "free", "gptbot")
        assert (status(GPTBOT), status(GOOGLEBOT), status(GPTBOT, ELSEWHERE)) == (200, 402, 402)

    def test_whoever_signs(self, item, rule, bot, paywall_settings):
        rule("one", "free", "bot.example")
        assert status(headers=bot.headers()) == 200
        assert status(headers={"Signature-Agent": 'sig1="https://bot.example"'}) == 402

    def test_a_question_is_answered_as_the_page_would_be(self, item, rule):
        rule("search", "free")
        response = Client(headers={"User-Agent": GOOGLEBOT}).head("/item/", REMOTE_ADDR=OURS)
        assert response.status_code == 200

    def test_async_views_too(self, item, rule, settings):
        settings.PAYWALL = {**settings.PAYWALL, "PROXIES": 1}
        rule("search", "free")
        get = async_to_sync(AsyncClient().get)
        for agent, expected in ((GOOGLEBOT, 200), (GPTBOT, 402)):
            headers = {"User-Agent": agent, "X-Forwarded-For": OURS}
            found = get("/async-item/", headers=headers)
            assert found.status_code == expected

    def test_a_payment_that_is_brought_all_the_same_is_not_taken(self, item, rule, facilitator):
        paying = Buyer().pays(ask())
        rule("search", "free")
        assert status(GOOGLEBOT, headers=paying) == 200
        assert not Payment.objects.exists()
        assert not facilitator.requests


class TestRefused:
    def test_saying_so_is_enough(self, item, rule):
        rule("train", "refuse")
        for address in (OURS, ELSEWHERE):
            response = ask(GPTBOT, address)
            assert (response.status_code, code(response)) == (403, "bot_refused")
        assert status("CCBot/2.0") == 403, "one that the settings do not name"
        assert status(GOOGLEBOT) == status(CHROME) == status() == 402

    def test_nothing_is_charged(self, item, rule, facilitator):
        paying = Buyer().pays(ask())
        rule("train", "refuse")
        assert status(GPTBOT, headers=paying) == 403
        assert not Payment.objects.exists()
        assert not CALLS
        assert status(headers=paying) == 200, "the same payment, of who is let in"

    def test_who_has_paid_before_gets_it(self, make_resource, rule, facilitator):
        make_resource("item", access="forever")
        client = Client(headers={"User-Agent": GPTBOT})
        client.get("/item/", headers=Buyer().pays(client.get("/item/")))
        rule("train", "refuse")
        assert client.get("/item/").status_code == 200
        assert status(GPTBOT) == 403

    def test_one_of_them_pays_all_the_same(self, item, rule):
        rule("any", "refuse")
        rule("one", "pay", "GPTBot")
        assert (status(GPTBOT), status(GOOGLEBOT), status(CHROME)) == (402, 403, 402)


class TestMonitored:
    def test_everybody(self, item, paywall_settings):
        paywall_settings(MONITOR=True)
        assert status() == status(CHROME) == status(GPTBOT) == 200
        assert not Payment.objects.exists()

    def test_everybody_of_one_resource(self, item, make_resource, rule):
        rule("everybody", "monitor", resource=make_resource("other"))
        assert status() == 402
        rule("everybody", "monitor", resource=item)
        assert status() == 200

    def test_who_is_refused_is_not_let_in(self, item, rule, paywall_settings):
        paywall_settings(MONITOR=True)
        rule("train", "refuse")
        assert (status(GPTBOT), status()) == (403, 200)

    def test_no_balance_grows_for_nothing(self, make_resource, paywall_settings):
        make_resource("item", access="balance")
        paywall_settings(MONITOR=True)
        assert status() == 402

    def test_what_is_not_for_sale_is_not_given_away(self, db, paywall_settings):
        paywall_settings(MONITOR=True)
        assert status() == 503


class TestOrder:
    def test_a_rule_of_the_resource_goes_first(self, item, make_resource, rule):
        make_resource("other")
        rule("search", "refuse")
        rule("search", "free", resource=item)
        assert status(GOOGLEBOT) == 200

    def test_the_narrower_goes_first(self, item, rule):
        rule("any", "refuse")
        rule("search", "free")
        rule("one", "pay", "Googlebot")
        assert status(GOOGLEBOT) == 402

    def test_bots_go_before_everybody(self, item, rule):
        rule("everybody", "monitor", resource=item)
        rule("train", "refuse")
        assert (status(GPTBOT), status(CHROME)) == (403, 200)

    def test_what_is_switched_off_says_nothing(self, item, rule):
        made = rule("any", "refuse")
        VisitorRule.objects.filter(pk=made.pk).update(active=False)
        assert status(GPTBOT) == 402


@pytest.mark.parametrize(
    "fields",
    [
        {"who": "one", "action": "free"},
        {"who": "search", "action": "free", "bot": "x"},
        {"who": "everybody", "action": "free"},
        {"who": "everybody", "action": "refuse"},
    ],
)
def test_rules_that_mean_nothing(db, fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        VisitorRule.objects.create(**fields)


def test_two_rules_for_the_same(item, rule):
    for resource in (None, item):
        rule("search", "free", resource=resource)
        with pytest.raises(IntegrityError), transaction.atomic():
            rule("search", "refuse", resource=resource)


class TestAudiences:
    @pytest.fixture
    def audience(self, item):
        def make(amount: str, bots: str = "train", bot: str = "", **free: Any) -> Audience:
            found = Audience.objects.create(name=f"{bots} {bot}", kind="bots", bots=bots, bot=bot)
            Price.objects.create(resource=item, audience=found, amount=Decimal(amount), **free)
            return found

        return make

    def price(self, agent: str = "", address: str = OURS, **more: Any) -> str:
        return challenge_of(ask(agent, address, **more))["accepts"][0]["amount"]

    def test_a_lower_price_for_who_proves_to_be_it(self, audience):
        audience("0.002")
        assert self.price(GPTBOT) == "2000"
        assert self.price(GPTBOT, ELSEWHERE) == self.price(GOOGLEBOT) == self.price() == "10000"

    def test_it_is_paid(self, audience, facilitator):
        audience("0.002")
        paying = Buyer().pays(ask(GPTBOT))
        assert status(GPTBOT, ELSEWHERE, headers=paying) == 402, "it is not everybody's price"
        assert status(GPTBOT, headers=paying) == 200
        assert Payment.objects.get().price == Decimal("0.002")

    def test_so_many_a_day_are_free(self, audience):
        audience("0", "search", free_uses=2, free_per="all", free_every="day")
        assert [status(GOOGLEBOT) for _ in range(3)] == [200, 200, 402]
        assert status(GOOGLEBOT, ELSEWHERE) == 402

    def test_who_signs_has_to_sign_what_it_pays_for(self, audience, bot):
        audience("0.002", "one", "bot.example")
        assert self.price(headers=bot.headers()) == "2000"
        loose = bot.headers(covers=("@authority", '"signature-agent";key="sig1"'))
        assert self.price(headers=loose) == "10000"

    def test_it_names_bots(self, db):
        for fields in ({}, {"bots": "one"}):
            with pytest.raises(IntegrityError), transaction.atomic():
                Audience.objects.create(name="x", kind="bots", **fields)
