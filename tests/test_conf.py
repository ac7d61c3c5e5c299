from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from paywall import conf


def test_all_defaults():
    settings = conf.read({})
    assert settings.offer_timeout == 300
    assert settings.cache_seconds == 1.0
    assert settings.rpc_nodes("eip155:1") == ()
    assert settings.remotes() == {}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "must be a dict"),
        ({"FACILITATOR": "x"}, "'FACILITATOR'.* is not a setting"),
        ({"FACILITATOR_ULR": "x"}, "Did you mean 'FACILITATOR_URL'"),
        ({"gas_key": "x"}, "Did you mean 'GAS_KEY'"),
        ({"NONSENSE_ALL_OF_IT": "x"}, "Known: .*GAS_KEY"),
        ({"OFFER_TIMEOUT": "300"}, "OFFER_TIMEOUT.* whole number"),
        ({"OFFER_TIMEOUT": 0}, "OFFER_TIMEOUT.* more than 0"),
        ({"OFFER_TIMEOUT": 1.5}, "OFFER_TIMEOUT.* whole number"),
        ({"OFFER_TIMEOUT": True}, "OFFER_TIMEOUT"),
        ({"CACHE_SECONDS": -1}, "CACHE_SECONDS.* number of seconds"),
        ({"FACILITATOR_URL": None}, "FACILITATOR_URL.* a string"),
        ({"FACILITATOR_URL": "ftp://x"}, "FACILITATOR_URL.* http"),
        ({"FACILITATOR_URL": "http://"}, "FACILITATOR_URL.* http"),
        ({"FACILITATOR_URL": "http://[broken"}, "FACILITATOR_URL.* http"),
        ({"FACILITATOR_HEADERS": {"a": 1}}, "FACILITATOR_HEADERS.* dict of strings"),
        ({"RPC_URLS": ["x"]}, "RPC_URLS.* dict"),
        ({"RPC_URLS": {"eip155:1": ["http://a", "x"]}}, "RPC_URLS.* http"),
        ({"FACILITATORS": {"a": "http://x"}}, "FACILITATORS.* dict"),
        ({"FACILITATORS": {"a": {"URL": "x"}}}, "FACILITATORS.* http"),
        ({"FACILITATORS": {"a": {"BACKEND": "x"}}}, "FACILITATORS.*BACKEND.*onchain"),
        ({"FACILITATOR_URL": "http://a", "FACILITATORS": {"a": {"URL": "http://x"}}}, "both"),
        ({"GAS_KEY": "0x12"}, "GAS_KEY.* 32 bytes"),
        ({"TIME_ZONE": "Mars/Olympus"}, "TIME_ZONE.* no time zone"),
        ({"TIME_ZONE": "../etc"}, "TIME_ZONE.* no time zone"),
        ({"WALLET_FACTORIES": "0x12"}, "WALLET_FACTORIES.* list"),
        ({"RPC_URLS": {"eip155:1": "x"}}, "RPC_URLS.* http"),
    ],
)
def test_nonsense_is_named(raw, message):
    with pytest.raises(ImproperlyConfigured, match=message):
        conf.read(raw)


def test_zero_is_a_cache_of_nothing():
    assert conf.read({"CACHE_SECONDS": 0}).cache_seconds == 0


def test_secrets_do_not_show(paywall_settings):
    settings = conf.read(
        {
            "FACILITATOR_TOKEN": "s3cret",
            "FACILITATOR_HEADERS": {"X-Key": "s3cret"},
            "RPC_URLS": {"eip155:1": "https://node.example/s3cret"},
        }
    )
    assert "s3cret" not in repr(settings)


def test_a_changed_setting_is_read_again(paywall_settings):
    assert conf.get().currency == "USD"
    paywall_settings(CURRENCY="EUR")
    assert conf.get().currency == "EUR"


@pytest.mark.parametrize(
    ("url", "debug", "exposed"),
    [
        ("https://x.example", False, False),
        ("http://x.example", False, True),
        ("http://x.example", True, False),
        ("http://127.0.0.1:4021", False, False),
        ("http://localhost:4021", False, False),
        ("http://[::1]:4021", False, False),
        ("http://127.0.0.1.evil.example", False, True),
        ("http://localhost.evil.example", False, True),
    ],
)
def test_what_is_exposed(settings, url, debug, exposed):
    settings.DEBUG = debug
    assert conf.is_exposed(url) is exposed
