"""Facilitators by name: where they are, and the tokens that their requests carry."""

from __future__ import annotations

import base64
import re

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.checks import run_checks
from django.test import Client

from paywall import conf
from paywall.models import Payment
from paywall.presets import PRESETS, of_url
from paywall.rails.evm.networks import chain_id, is_testnet
from paywall.rails.evm.terms import account_for
from tests.conftest import PAY_TO

KEY_ID = "0a1b2c3d-0000-4000-8000-000000000000"


def pem(key, kind=PrivateFormat.TraditionalOpenSSL):
    return key.private_bytes(Encoding.PEM, kind, NoEncryption()).decode()


def edwards(key):
    raw = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return base64.b64encode(raw).decode()


KEYS = {
    "EC": (ec := generate_private_key(SECP256R1()), pem(ec), "ES256"),
    "EC in one line": (ec, pem(ec).replace("\n", "\\n"), "ES256"),
    "EC, PKCS 8": (ec, pem(ec, PrivateFormat.PKCS8), "ES256"),
    "Ed25519": (ed := Ed25519PrivateKey.generate(), edwards(ed), "EdDSA"),
}


def verifier(key, algorithm):
    """As Coinbase does: the signature, the key, the time, and that it is for this very request."""
    seen: set[str] = set()

    def lets_in(method, url, headers):
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, key.public_key(), [algorithm], issuer="cdp")
        except jwt.PyJWTError:
            return False
        named = jwt.get_unverified_header(token)
        if named["nonce"] in seen:
            return False
        seen.add(named["nonce"])
        return (
            claims["uris"] == [f"{method} {url.removeprefix('http://')}"]
            and (claims["sub"], named["kid"]) == (KEY_ID, KEY_ID)
            and claims["exp"] - claims["nbf"] == 120
        )

    return lets_in


def cdp(url, secret):
    entry = {"PRESET": "coinbase", "KEY_ID": KEY_ID, "KEY_SECRET": secret, "URL": url}
    return {"FACILITATOR_URL": "", "FACILITATORS": {"cdp": entry}}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KEYS)
def test_each_request_carries_a_token_of_its_own(
    kind, make_resource, facilitator, buyer, paywall_settings
):
    key, secret, algorithm = KEYS[kind]
    facilitator.lets_in = verifier(key, algorithm)
    paywall_settings(**cdp(facilitator.url, secret))
    make_resource("item")
    make_resource("metered", "0.05", by_use=True)
    client = Client()
    assert client.get("/item/", headers=buyer.pays(client.get("/item/"))).status_code == 200
    by_use = "/metered/?use=0.01"  # asks for /supported and /verify as well
    assert client.get(by_use, headers=buyer.pays(client.get(by_use))).status_code == 200
    asked = {path for path, _, _ in facilitator.requests}
    assert asked == {"/settle", "/supported", "/verify"}


@pytest.mark.django_db
def test_a_token_that_is_not_taken_is_our_trouble(item, facilitator, buyer, paywall_settings):
    another = Ed25519PrivateKey.generate()
    facilitator.lets_in = verifier(another, "EdDSA")
    paywall_settings(**cdp(facilitator.url, KEYS["Ed25519"][1]))
    client = Client()
    response = client.get("/item/", headers=buyer.pays(client.get("/item/")))
    assert response.status_code == 503
    assert Payment.objects.get().state == "failed"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "secret",
    ["nonsense!", base64.b64encode(b"short").decode(), pem(rsa_key(65537, 2048)), "-----BEGIN x"],
)
def test_a_key_that_is_none_is_said_at_start_up_and_not_shown(account, paywall_settings, secret):
    paywall_settings(**cdp("https://facilitator.example", secret))
    (found,) = [message for message in run_checks() if message.id == "paywall.E017"]
    assert secret not in f"{found.msg} {found.hint}"
    assert secret not in repr(conf.get())
    assert secret not in repr(conf.get().remotes())


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ({"PRESET": "coinbase"}, "KEY_ID and KEY_SECRET"),
        ({"PRESET": "coinbase", "KEY_ID": "x"}, "KEY_SECRET"),
        ({"PRESET": "coinbse"}, "there is coinbase, payai, x402.org"),
        ({"PRESET": "payai", "TOKEN": "x"}, "PayAI has no TOKEN"),
    ],
)
def test_what_is_missing_is_named(entry, wrong):
    with pytest.raises(Exception, match=re.escape(wrong)):
        conf.read({"FACILITATORS": {"one": entry}}).remotes()


def test_where_they_are():
    settings = conf.read({"FACILITATORS": {"payai": {"PRESET": "payai"}}})
    remote = settings.remotes()["payai"]
    assert remote is not None
    assert (remote.url, remote.headers("settle")) == ("https://facilitator.payai.network", {})
    assert of_url("https://www.x402.org/facilitator") is PRESETS["x402.org"]
    assert of_url("https://facilitator.example") is None


@pytest.mark.parametrize("name", PRESETS)
def test_main_networks_are_main_networks(name):
    for network in PRESETS[name].main_networks:
        assert chain_id(network)
        assert not is_testnet(network)
    for network in PRESETS[name].test_networks:
        assert is_testnet(network), network


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("named", "token", "warned"),
    [
        ({"FACILITATORS": {"t": {"PRESET": "x402.org"}}}, "usdc-base", True),
        ({"FACILITATORS": {"t": {"PRESET": "x402.org"}}}, "usdc-base-sepolia", False),
        ({"FACILITATOR_URL": "https://www.x402.org/facilitator"}, "usdc-base", True),
        ({"FACILITATORS": {"p": {"PRESET": "payai"}}}, "usdc-base", False),
    ],
)
def test_play_facilitators_do_not_settle_real_money(paywall_settings, named, token, warned):
    paywall_settings(**{"FACILITATOR_URL": "", **named})
    account_for(token, PAY_TO).save()
    assert ("paywall.W020" in {message.id for message in run_checks()}) is warned
