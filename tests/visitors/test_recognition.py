"""Who is a bot: by its address, by reverse DNS, or by its word alone."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory

from paywall import conf, visitors
from paywall.bots import KNOWN, Purpose
from paywall.models import BotAddress
from paywall.visitors import addresses, claims, refresh, sources

pytestmark = pytest.mark.django_db

GPTBOT = "Mozilla/5.0 AppleWebKit/537.36; compatible; GPTBot/1.2; +https://openai.com/gptbot"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"


def who(agent: str, address: str = "203.0.113.9", **meta: Any) -> visitors.Visitor:
    request = RequestFactory(headers={"User-Agent": agent}).get("/", REMOTE_ADDR=address, **meta)
    return visitors.of(request)


@pytest.mark.parametrize(
    ("agent", "kind", "bot", "purpose"),
    [
        (GPTBOT, "claimed", "GPTBot", Purpose.TRAIN),
        (GOOGLEBOT, "claimed", "Googlebot", Purpose.SEARCH),
        ("Mozilla/5.0; compatible; ChatGPT-User/1.0", "claimed", "ChatGPT-User", Purpose.USER),
        ("Mozilla/5.0 (compatible; ClaudeBot/1.0)", "claimed", "ClaudeBot", Purpose.TRAIN),
        ("Mozilla/5.0 (compatible; Claude-User/1.0)", "claimed", "Claude-User", Purpose.USER),
        ("CCBot/2.0", "claimed", "CCBot", Purpose.TRAIN),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0)", "claimed", None, Purpose.OTHER),
        ("curl/8.5.0", "claimed", "curl", Purpose.OTHER),
        (CHROME, "browser", "", None),
        ("my-own-script", "unknown", "", None),
        ("", "unknown", "", None),
        ("x" * 100_000, "unknown", "", None),
    ],
)
def test_what_a_user_agent_says(agent, kind, bot, purpose):
    found = who(agent)
    assert (found.kind, found.purpose) == (kind, purpose)
    if bot is not None:
        assert found.bot == bot


def test_each_known_bot_is_found_by_its_own_name():
    for name, bot in KNOWN.items():
        found = claims.claimed_by(f"Mozilla/5.0 (compatible; {name}/1.0; +https://example.com)")
        assert (found.bot, found.purpose) == (name, bot.purpose), name


def test_what_is_read_of_a_user_agent_is_kept_within_bounds(monkeypatch):
    monkeypatch.setattr("paywall.memory.MOST", 50)
    for number in range(500):
        claims.claimed_by(f"agent {number}")
    assert len(claims._seen) <= 50


class TestByAddress:
    @pytest.fixture(autouse=True)
    def gptbot(self, paywall_settings, listed):
        paywall_settings(BOTS={"GPTBot": {}})
        listed("https://openai.com/gptbot.json", "192.0.2.0/28", "2001:db8::/48")

    def test_from_its_owners_list(self):
        for address in ("192.0.2.1", "192.0.2.15", "2001:db8::7", "::ffff:192.0.2.3"):
            found = who(GPTBOT, address)
            assert (found.kind, found.bot, found.proof) == ("verified", "GPTBot", "address")
            assert found.covers_payment, "who signs nothing is known by where it is"

    def test_from_elsewhere(self):
        for address in ("192.0.2.16", "198.51.100.1", "2001:db9::1", "nonsense", ""):
            assert who(GPTBOT, address).kind == "claimed", address

    def test_somebody_else_from_there(self):
        assert who(CHROME, "192.0.2.1").kind == "browser"
        assert who(GOOGLEBOT, "192.0.2.1").kind == "claimed"

    def test_a_proxy_is_believed_as_the_settings_say(self, paywall_settings):
        forged = {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}
        assert who(GPTBOT, "198.51.100.1", **forged).kind == "claimed"
        paywall_settings(BOTS={"GPTBot": {}}, PROXIES=1)
        assert who(GPTBOT, "10.0.0.1", **forged).is_verified
        twice = {"HTTP_X_FORWARDED_FOR": "192.0.2.1, 198.51.100.7"}
        assert not who(GPTBOT, "10.0.0.1", **twice).is_verified

    def test_a_list_that_was_not_fetched_proves_nothing(self, paywall_settings):
        paywall_settings(BOTS={"OAI-SearchBot": {}})
        assert who("OAI-SearchBot/1.0", "192.0.2.1").kind == "claimed"


class TestByDns:
    @pytest.fixture(autouse=True)
    def googlebot(self, paywall_settings):
        paywall_settings(BOTS={"Googlebot": {"ADDRESSES": []}})

    @pytest.fixture
    def dns(self, monkeypatch):
        """A name server's two tables."""
        names: dict[str, Any] = {}
        hosts: dict[str, Any] = {}

        def name(address: str) -> Any:
            if isinstance(found := names.get(address, socket.herror(1, "?")), Exception):
                raise found
            return found, [], [address]

        def host(name: str, port: Any, *_: Any, **__: Any) -> Any:
            if isinstance(found := hosts.get(name, socket.gaierror(-2, "?")), Exception):
                raise found
            return [(2, 1, 6, "", (address, 0)) for address in found]

        monkeypatch.setattr(socket, "gethostbyaddr", name)
        monkeypatch.setattr(socket, "getaddrinfo", host)
        return names, hosts

    def later(self, address: str = "192.0.2.9") -> str:
        """The first request puts it down, the worker looks it up, and a later one knows."""
        assert who(GOOGLEBOT, address).kind == "claimed"
        refresh.refresh()
        return who(GOOGLEBOT, address).kind

    def test_there_and_back(self, dns):
        dns[0]["192.0.2.9"] = "crawl-1.googlebot.com"
        dns[1]["crawl-1.googlebot.com"] = ["192.0.2.9"]
        assert self.later() == "verified"
        assert who(GOOGLEBOT, "192.0.2.9").proof == "dns"

    def test_an_address_of_ipv6_is_the_same_however_it_is_written(self, dns):
        dns[0]["2001:db8::1"] = "crawl-1.googlebot.com"
        dns[1]["crawl-1.googlebot.com"] = ["2001:0db8:0:0::1"]
        assert self.later("2001:db8::1") == "verified"

    @pytest.mark.parametrize(
        "name", ["crawl.evil.example", "googlebot.com.evil.example", "xgooglebot.com"]
    )
    def test_a_name_of_somebody_else(self, dns, name):
        dns[0]["192.0.2.9"] = name
        dns[1][name] = ["192.0.2.9"]
        assert self.later() == "claimed"

    def test_a_name_that_does_not_lead_back(self, dns):
        """Whoever has an address can write any name to it."""
        dns[0]["192.0.2.9"] = "crawl-1.googlebot.com"
        dns[1]["crawl-1.googlebot.com"] = ["198.51.100.1"]
        assert self.later() == "claimed"
        assert BotAddress.objects.get().verified is False

    @pytest.mark.parametrize(
        "trouble",
        [socket.herror(2, "try again"), socket.gaierror(socket.EAI_AGAIN, "?"), OSError()],
    )
    def test_a_name_server_that_is_away_decides_nothing(self, dns, trouble):
        dns[0]["192.0.2.9"] = trouble
        assert self.later() == "claimed"
        assert BotAddress.objects.get().verified is None
        BotAddress.objects.update(verified=True)
        refresh.refresh()
        assert BotAddress.objects.get().verified is True

    def test_strangers_keep_nobody_from_being_known_who_is_known(self, dns, monkeypatch):
        BotAddress.objects.create(bot="Googlebot", address="192.0.2.9", verified=True)
        monkeypatch.setattr(sources._addresses, "most", 2)
        for number in range(20, 30):
            who(GOOGLEBOT, f"192.0.2.{number}")
        assert BotAddress.objects.count() == 3
        assert who(GOOGLEBOT, "192.0.2.9").is_verified

    def test_no_more_addresses_than_there_is_room_for(self, monkeypatch):
        monkeypatch.setattr(sources, "MOST_ADDRESSES", 3)
        for number in range(9):
            who(GOOGLEBOT, f"192.0.2.{number}")
        assert BotAddress.objects.count() == 3


class TestLists:
    @pytest.mark.parametrize(
        "document",
        [
            {"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv6Prefix": "2001:db8::/48"}]},
            {"prefixes": [{"ip_prefix": "192.0.2.0/24"}], "ipv6_prefixes": ["2001:db8::/48"]},
            ["192.0.2.0/24", "2001:db8::/48"],
            {"ips": ["192.0.2.0/24", "2001:db8::/48"]},
        ],
    )
    def test_forms_in_use(self, document):
        assert addresses.prefixes(document) == ["192.0.2.0/24", "2001:db8::/48"]

    @pytest.mark.parametrize(
        "document",
        [
            None,
            {},
            [],
            "x",
            {"prefixes": []},
            ["0.0.0.0/0"],
            ["::/0"],
            ["10.0.0.0/7"],
            ["nonsense"],
        ],
    )
    def test_what_is_no_list_or_means_everybody(self, document):
        with pytest.raises(ValueError):
            addresses.prefixes(document)


class TestSettings:
    @pytest.mark.parametrize(
        ("bots", "told"),
        [
            ({"X": {}}, "nothing would prove"),
            ({"X": {"ADDRESS": "x"}}, "Known: ADDRESSES, AGENT"),
            ({"X": {"PURPOSE": "fun", "DOMAINS": ["x"]}}, "search, train, user, other"),
            ({"X": {"ADDRESSES": ["http://x"]}}, "https"),
            ({"X": {"ADDRESSES": "https://x"}}, "list"),
            ({"X": {"DIRECTORY": "ftp://x"}}, "https"),
            ({"X": {"DOMAINS": ["x"], "AGENT": ""}}, "User-Agent"),
        ],
    )
    def test_what_cannot_be_meant(self, bots, told):
        with pytest.raises(ImproperlyConfigured, match=told):
            conf.read({"BOTS": bots})

    def test_of_known_ones_nothing_need_be_said(self):
        found = conf.read({"BOTS": {name: {} for name in KNOWN}}).known_bots()
        assert found == dict(KNOWN)
