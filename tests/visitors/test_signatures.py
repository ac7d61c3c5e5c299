"""Web Bot Auth: whose signature is good, for what, and how often."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone

from paywall import visitors
from paywall.bots import WELL_KNOWN
from paywall.exceptions import Refused
from paywall.models import BotSource
from paywall.testing import Buyer
from paywall.visitors import refresh, signatures, sources
from tests.helpers import at_once, code
from tests.visitors.bots import DIRECTORY, USUAL, SigningBot

pytestmark = pytest.mark.django_db

VECTORS = json.loads((Path(__file__).parent / "web_bot_auth_vectors.json").read_text())
"""The drafts' own, as cloudflare/web-bot-auth publishes them."""


def ask(headers: dict[str, str], path: str = "/item/") -> Any:
    return Client(headers=headers).get(path)


def who(headers: dict[str, str], path: str = "/item/", **extra: Any) -> visitors.Visitor:
    return visitors.of(RequestFactory(headers=headers).get(path, **extra))


def why(headers: dict[str, str], path: str = "/item/", **extra: Any) -> str:
    with pytest.raises(Refused) as refused:
        who(headers, path, **extra)
    assert (refused.value.status, refused.value.code) == (400, "bad_bot_signature")
    return refused.value.detail


@pytest.mark.parametrize("vector", VECTORS)
def test_published_vectors(settings, paywall_settings, monkeypatch, vector):
    settings.ALLOWED_HOSTS = ["example.com"]
    # They were good for an hour in 2025, or are for a hundred years.
    paywall_settings(WEB_BOT_AUTH="verify", CLOCK_TOLERANCE=10**9)
    monkeypatch.setattr(signatures, "MOST_SECONDS", 10**10)
    url = f"https://signature-agent.test{WELL_KNOWN}"
    BotSource.objects.create(kind="directory", url=url, content={"keys": [vector["key"]]})
    headers = {
        "Host": "example.com",
        "Signature": vector["signature"],
        "Signature-Input": vector["signature_input"],
    }
    if "signature_agent" not in vector:
        assert "there is no Signature-Agent" in why(headers, "/path/to/resource", secure=True)
        return
    headers["Signature-Agent"] = vector["signature_agent"]
    found = who(headers, "/path/to/resource", secure=True)
    assert (found.kind, found.bot) == ("verified", "signature-agent.test")
    assert not found.covers_payment, "it could be brought to any page of the site"
    damaged = vector["signature"].replace("A", "B", 1)
    assert why({**headers, "Signature": damaged}, "/path/to/resource", secure=True)
    settings.ALLOWED_HOSTS = ["other.example"]
    elsewhere = {**headers, "Host": "other.example"}
    assert why(elsewhere, "/path/to/resource", secure=True), "it is another site's"


class TestGood:
    def test_a_bot_is_who_signs(self, bot):
        found = who(bot.headers())
        assert (found.kind, found.bot, found.proof) == ("verified", "bot.example", "signature")
        assert found.covers_payment

    def test_a_bot_of_the_settings_has_its_name_and_purpose(self, bot, paywall_settings):
        named = {"Ours": {"PURPOSE": "search", "DIRECTORY": DIRECTORY}}
        paywall_settings(WEB_BOT_AUTH="verify", BOTS=named)
        found = who(bot.headers())
        assert (found.bot, found.purpose) == ("Ours", "search")

    def test_a_directory_of_the_settings_may_be_a_host(self, bot, paywall_settings):
        named = {"Ours": {"DIRECTORY": "https://Bot.example/"}}
        paywall_settings(WEB_BOT_AUTH="verify", BOTS=named)
        assert who(bot.headers()).bot == "Ours"
        refresh._agree_with_settings()
        assert BotSource.objects.get().url == DIRECTORY

    def test_the_old_form_of_signature_agent(self, bot):
        headers = bot.headers(
            covers=("@authority", "signature-agent"), agent='"https://bot.example"'
        )
        assert who(headers).is_verified

    def test_a_member_of_another_name(self, bot):
        covers = ("@authority", '"signature-agent";key="me"')
        assert who(bot.headers(covers=covers, agent=f'me="{DIRECTORY}"')).is_verified

    def test_a_page_of_a_directory_is_not_its_host(self, bot):
        url = "https://pages.example/~bob/keys"
        BotSource.objects.create(kind="directory", url=url, content=bot.directory())
        bot.url = url
        assert who(bot.headers()).bot == "pages.example/~bob/keys"

    def test_path_and_query_count_as_they_were_sent(self, bot):
        for path in ("/item/?a=%C3%A9&b", "/item/?q=a+b", "/i%74em/"):
            headers = bot.headers(f"http://testserver{path}")
            assert who(headers, path, RAW_URI=path).is_verified, path

    @pytest.mark.parametrize(
        ("covers", "is_of_payment"),
        [
            (USUAL, True),
            (("@method", "@path", "@query", "@authority", USUAL[2]), True),
            (("@method", "@path", "@authority", USUAL[2]), True),
            (("@target-uri", USUAL[2]), False),
            (("@method", "@authority", USUAL[2]), False),
        ],
    )
    def test_what_a_payment_needs(self, bot, covers, is_of_payment):
        assert who(bot.headers(covers=covers)).covers_payment is is_of_payment

    def test_the_query_has_to_be_covered_where_there_is_one(self, bot):
        covers = ("@method", "@path", "@authority", USUAL[2])
        headers = bot.headers("http://testserver/item/?page=1", covers=covers)
        assert not who(headers, "/item/?page=2").covers_payment

    def test_a_price_has_to_be_covered_where_it_is_named(self, bot):
        more = {"crawler-max-price": "USD 0.05"}
        assert not who(bot.headers(more=more)).covers_payment
        covered = (*USUAL, "crawler-max-price")
        headers = bot.headers(more=more, covers=covered)
        assert who(headers).covers_payment
        assert why({**bot.headers(more=more, covers=covered), "crawler-max-price": "USD 9"})


class TestNotGood:
    def test_forged(self, bot):
        other = SigningBot()
        headers = {**other.headers(), "Signature-Input": bot.headers()["Signature-Input"]}
        assert why(headers)

    def test_of_another_host(self, bot):
        assert why(bot.headers("http://other.example/item/"))

    def test_of_another_page(self, bot):
        assert why(bot.headers("http://testserver/other/"))

    def test_of_another_method(self, bot):
        assert why(bot.headers(method="POST"))

    def test_stale(self, bot):
        assert "expires" in why(bot.headers(created=timedelta(minutes=-10)))

    def test_of_the_future(self, bot):
        assert "created" in why(bot.headers(created=timedelta(minutes=10)))

    def test_good_for_too_long(self, bot):
        assert "more than a day" in why(bot.headers(seconds=90_000))

    def test_not_about_this_site(self, bot):
        assert "@authority" in why(bot.headers(covers=("@method", USUAL[2])))

    def test_its_name_is_not_signed(self, bot):
        assert "signature-agent" in why(bot.headers(covers=("@authority",)))

    @pytest.mark.parametrize(
        "agent",
        [
            'sig1="http://bot.example/"',
            'sig1="https://u:p@bot.example/"',
            'sig1="nothing"',
            "sig1=1",
            'other="https://bot.example"',
            "((",
        ],
    )
    def test_no_https_url(self, bot, agent):
        headers = {**bot.headers(), "Signature-Agent": agent}
        assert "https URL" in why(headers)

    @pytest.mark.parametrize("name", ["Signature", "Signature-Input"])
    @pytest.mark.parametrize("value", ['sig1="x";tag="web-bot-auth"', "((web-bot-auth", "é"])
    def test_nonsense(self, bot, name, value):
        headers = {**bot.headers(), name: value}
        if name == "Signature-Input" and "web-bot-auth" not in value:
            assert not who(headers).is_verified, "nobody says that a bot signed it"
        else:
            assert why(headers)

    def test_a_key_that_is_over(self, bot):
        now = int(timezone.now().timestamp())
        for members in ({"exp": now - 1}, {"nbf": now + 60}):
            BotSource.objects.update(content=bot.directory(**members))
            sources.forget()
            assert "key" in why(bot.headers())

    def test_a_key_is_good_for_its_own_directory_only(self, bot):
        """Somebody else's keys, and our bot's name."""
        other = SigningBot("https://evil.example/keys")
        BotSource.objects.create(kind="directory", url=other.url, content=other.directory())
        sources.forget()
        other.url = DIRECTORY
        assert not who(other.headers()).is_verified

    def test_a_signature_for_something_else_is_none_of_ours(self, bot):
        assert not who(bot.headers(tag="other")).is_verified

    def test_the_buyer_is_told(self, bot, item):
        response = ask(bot.headers("http://other.example/item/"))
        assert (response.status_code, code(response)) == (400, "bad_bot_signature")
        assert "Web Bot Auth" in response.json()["detail"]

    def test_it_makes_no_difference_where_it_is_off(self, bot, item, paywall_settings):
        paywall_settings(WEB_BOT_AUTH="off")
        assert ask(bot.headers("http://other.example/item/")).status_code == 402


class TestNonces:
    def test_one_is_good_once(self, bot, item):
        headers = bot.headers()
        assert ask(headers).status_code == 402
        again = ask(headers)
        assert (again.status_code, code(again)) == (429, "bot_signature_used")
        assert int(again.headers["Retry-After"]) > 0
        assert ask(bot.headers()).status_code == 402

    def test_two_bots_may_choose_the_same(self, bot, item):
        other = SigningBot("https://other.example/keys")
        BotSource.objects.create(kind="directory", url=other.url, content=other.directory())
        sources.forget()
        assert ask(bot.headers(nonce="one")).status_code == 402
        assert ask(other.headers(nonce="one")).status_code == 402

    def test_a_signature_without_is_good_until_it_expires(self, bot, item):
        headers = bot.headers(nonce="")
        assert ask(headers).status_code == ask(headers).status_code == 402

    def test_a_forged_one_uses_up_nobodys(self, bot, item):
        headers = bot.headers(nonce="one")
        assert ask({**headers, "Signature": "sig1=:AAAA:"}).status_code == 400
        assert ask(headers).status_code == 402


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_let_in(bot, item):
    headers, statuses = bot.headers(), []
    at_once([lambda: statuses.append(ask(headers).status_code)] * 6)
    assert sorted(statuses) == [402, *[429] * 5]


class TestUnknownDirectories:
    def test_one_is_fetched_later_and_the_price_is_everybodys(self, item, paywall_settings):
        paywall_settings(WEB_BOT_AUTH="verify")
        stranger = SigningBot("https://stranger.example/keys")
        assert ask(stranger.headers()).status_code == 402
        row = BotSource.objects.get()
        assert (row.url, row.kind, row.named) == (stranger.url, "directory", False)
        assert ask(stranger.headers()).status_code == 402
        assert BotSource.objects.count() == 1

    def test_no_more_of_them_than_there_is_room_for(self, item, paywall_settings, monkeypatch):
        paywall_settings(WEB_BOT_AUTH="verify")
        monkeypatch.setattr(sources, "MOST_WAITING", 3)
        for number in range(6):
            ask(SigningBot(f"https://s{number}.example/keys").headers())
        assert BotSource.objects.count() == 3

    def test_strangers_have_so_much_written_down_in_a_minute(self, item, paywall_settings):
        paywall_settings(WEB_BOT_AUTH="verify")
        for number in range(40):
            sources.want(f"https://s{number}.example/keys")
        assert BotSource.objects.count() == 30
        sources.forget()
        sources.want("https://later.example/keys")
        assert BotSource.objects.count() == 31

    def test_a_new_key_is_looked_for(self, bot, item):
        """A bot has changed its key: not in every request is the old directory fetched anew."""
        later = timezone.now() + timedelta(hours=1)
        BotSource.objects.update(due_at=later, fetched_at=timezone.now() - timedelta(minutes=10))
        renewed = SigningBot()
        assert ask(renewed.headers()).status_code == 402
        assert BotSource.objects.get().due_at <= timezone.now()


class TestAsking:
    def test_who_wants_signatures_says_so(self, item, paywall_settings):
        assert "Accept-Signature" not in ask({}).headers
        paywall_settings(WEB_BOT_AUTH="ask")
        told = ask({}).headers["Accept-Signature"]
        assert told.startswith('sig1=("@method" "@target-uri" "signature-agent";key="sig1");')
        assert 'tag="web-bot-auth"' in told

    def test_a_bot_pays_as_everybody(self, item, facilitator, bot):
        buyer = Buyer()
        client = Client(headers=bot.headers())
        offer = client.get("/item/")
        client = Client(headers=bot.headers())
        paid = client.get("/item/", headers=buyer.pays(offer))
        assert paid.status_code == 200, paid.content
