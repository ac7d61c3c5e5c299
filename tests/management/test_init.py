"""`paywall_init`: from an empty site to the first sale."""

from __future__ import annotations

import ast
import io
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from eth_account import Account as Key

from paywall import conf
from paywall.management.commands import paywall_init
from paywall.models import Account, Payment, Resource

from .site import Site

pytestmark = pytest.mark.django_db

WALLET = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
TEST = ("--network", "test", "--wallet", WALLET)


@pytest.fixture(autouse=True)
def nobody_pays_yet(monkeypatch):
    monkeypatch.delenv("PAYWALL_BUYER_KEY", raising=False)
    Account.objects.all().delete()


def init(*arguments, answers=None, monkeypatch=None):
    out = io.StringIO()
    if answers is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(answers))
    else:
        arguments = ("--no-input", *arguments)
    call_command("paywall_init", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def pasted(told):
    """The settings that it says, as Python reads them."""
    start = told.index("PAYWALL = {")
    tree = ast.parse(told[start : told.index("\n}", start) + 2])
    return ast.unparse(tree.body[0].value)


def test_it_makes_an_account_and_something_to_sell(paywall_settings):
    paywall_settings(FACILITATOR_URL="", RPC_URLS={})
    told = init(*TEST, "--facilitator", "x402.org")
    account, resource = Account.objects.get(), Resource.objects.get(slug="paywall-sample")
    assert (account.network, account.recipient, account.enabled) == ("eip155:84532", WALLET, True)
    assert resource.prices.get().amount == Decimal("0.01")
    assert not resource.listed
    settings = ast.literal_eval(pasted(told))
    assert settings == {
        "FACILITATORS": {"x402.org": {"PRESET": "x402.org"}},
        "RPC_URLS": {"eip155:84532": "https://sepolia.base.org"},
    }
    assert conf.read(settings).remotes()["x402.org"].url == "https://x402.org/facilitator"
    assert "Run this again" in told


def test_twice_does_no_harm(paywall_settings):
    paywall_settings(FACILITATOR_URL="", RPC_URLS={})
    init(*TEST, "--facilitator", "x402.org")
    assert "There is an account already" in init(*TEST, "--facilitator", "x402.org")
    assert Account.objects.count() == 1
    assert Resource.objects.get(slug="paywall-sample").prices.count() == 1


def test_secrets_come_from_the_environment(paywall_settings):
    paywall_settings(FACILITATOR_URL="", RPC_URLS={})
    main = ("--coin", "usdc-base", "--wallet", WALLET)
    told = init(*main, "--facilitator", "coinbase")
    assert "'KEY_SECRET': os.environ['COINBASE_KEY_SECRET']" in pasted(told)
    assert "django-paywall[coinbase]" in told
    told = init(*main, "--facilitator", "own")
    assert "'GAS_KEY': os.environ['PAYWALL_GAS_KEY']" in pasted(told)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--coin", "usdc-base", "--facilitator", "x402.org"], "test networks alone"),
        (["--coin", "usdc-avalanche", "--facilitator", "coinbase"], "does not settle on Avalanche"),
        (["--coin", "usdc-base", "--network", "test"], "not on a test network"),
        (["--network", "main"], "Say --coin"),
        ([], "Say --network"),
        (["--network", "test"], "Say --facilitator"),
        (["--network", "test", "--facilitator", "own"], "Say --wallet"),
        (["--network", "test", "--facilitator", "own", "--wallet", "0x1"], "40 hex digits"),
        (
            [
                *("--network", "test", "--facilitator", "own"),
                *("--wallet", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
            ],
            "money sent there is gone",
        ),
    ],
)
def test_what_cannot_be_is_said(arguments, text):
    with pytest.raises(CommandError, match=text):
        init(*arguments)
    assert not Account.objects.exists()


def test_it_asks(paywall_settings, monkeypatch):
    paywall_settings(FACILITATOR_URL="", RPC_URLS={})
    told = init(answers=f"7\n2\n2\n0x1\n{WALLET}\n", monkeypatch=monkeypatch)
    assert "That is not one of them" in told
    assert "x402.org: test networks alone" in told
    assert "40 hex digits" in told
    assert Account.objects.get().recipient == WALLET


def test_who_goes_away_makes_nothing(monkeypatch):
    with pytest.raises(CommandError, match="Nobody answers"):
        init(answers="2\n", monkeypatch=monkeypatch)
    assert not Account.objects.exists()


def test_with_two_people_it_opens_no_account(paywall_settings):
    paywall_settings(TWO_PERSON_RULE=True)
    assert "not enabled" in init(*TEST, "--facilitator", "own")
    assert not Account.objects.get().enabled


@pytest.fixture
def ready(facilitator, paywall_settings, monkeypatch, tmp_path):
    """A site whose settings have all that was pasted."""
    paywall_settings(
        FACILITATOR_URL=facilitator.url, RPC_URLS={"eip155:84532": "http://127.0.0.1:9"}
    )
    monkeypatch.chdir(tmp_path)
    site = Site()
    monkeypatch.setattr(paywall_init.WithinTheSite, "client", lambda self: site.client())
    return site


def test_it_buys_from_itself(ready, monkeypatch):
    monkeypatch.setenv("PAYWALL_BUYER_KEY", Key.create().key.hex())
    told = init(*TEST, "--facilitator", "x402.org")
    assert "200, paid" in told
    assert "The first sale" in told
    payment = Payment.objects.get()
    assert (payment.state, int(payment.captured)) == ("settled", 10_000)


def test_without_a_wallet_it_says_how(ready):
    told = init(*TEST, "--facilitator", "x402.org")
    assert "PAYWALL_BUYER_KEY" in told
    assert not ready.payments


def test_the_sandbox_wants_a_line_and_nothing_else(paywall_settings, settings):
    settings.DEBUG = False
    told = init("--network", "sandbox")
    assert ast.literal_eval(pasted(told)) == {"SANDBOX": True}
    assert "DEBUG" in told
    assert "Run this again" in told
    assert Resource.objects.get(slug="paywall-sample").prices.count() == 1


def test_then_it_buys_with_play_money(settings, monkeypatch, tmp_path):
    settings.DEBUG = True
    settings.PAYWALL = {"SANDBOX": True}
    monkeypatch.chdir(tmp_path)
    site = Site()
    monkeypatch.setattr(paywall_init.WithPlayMoney, "client", lambda self: site.client())
    told = init("--network", "sandbox")
    assert "0.01 USDC on Base Sepolia (x402)" in told
    assert "200, paid" in told
    assert Payment.objects.get().state == "settled"
    assert list(tmp_path.iterdir()) == []


def test_who_goes_on_is_told_to_leave_the_sandbox(settings):
    settings.DEBUG = True
    settings.PAYWALL = {"SANDBOX": True}
    told = init(*TEST, "--facilitator", "x402.org")
    assert 'Take "SANDBOX" out' in told
    assert "Run this again" in told


def test_real_money_is_not_spent(ready, monkeypatch, paywall_settings):
    paywall_settings(RPC_URLS={"eip155:8453": "http://127.0.0.1:9"})
    monkeypatch.setenv("PAYWALL_BUYER_KEY", Key.create().key.hex())
    told = init("--coin", "usdc-base", "--wallet", WALLET, "--facilitator", "payai")
    assert "Real money" in told
    assert not ready.payments


def test_without_it_nothing_is_there(client, db):
    assert client.get("/paywall/sample/").status_code == 404
