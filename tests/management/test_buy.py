"""`paywall_buy`: the money of who buys is as safe as that of who sells."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command
from eth_account import Account as Key

from paywall.management.commands import paywall_buy
from paywall.models import Payment

from .site import Site

pytestmark = pytest.mark.django_db

URL = "https://testserver/item/"
CONTENT = '{"sold": "item", "query": {}}\n'
WALLET = Key.create()


@pytest.fixture(autouse=True)
def shop(item, facilitator, monkeypatch, tmp_path):
    site = Site()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYWALL_BUYER_KEY", WALLET.key.hex())
    monkeypatch.setattr(paywall_buy, "PAUSES", (0.0,) * 3)
    monkeypatch.setattr(paywall_buy.Command, "client", lambda self: site.client())
    return site


def buy(*arguments, answer=None, monkeypatch=None):
    """What was printed for programs, and for people."""
    out, err = io.StringIO(), io.StringIO()
    if answer is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    call_command("paywall_buy", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def kept():
    return list(Path().glob("paywall-payment-*.json"))


@pytest.mark.parametrize(("protocol", "known_as"), [("x402", "x402/2"), ("mpp", "mpp/1")])
def test_it_pays_and_prints_what_it_bought(protocol, known_as):
    out, err = buy(URL, "--max", "0.05", "--yes", "--protocol", protocol)
    assert out == CONTENT
    assert f"1. 0.01 USDC on Base Sepolia ({protocol})" in err
    assert "200, paid" in err
    assert 'rel="receipt"' in err
    payment = Payment.objects.get()
    assert (payment.protocol, payment.payer) == (known_as, WALLET.address)
    assert kept() == []


def test_for_programs():
    out, _ = buy(URL, "--max", "0.01", "--yes", "--json")
    found = json.loads(out)
    assert (found["outcome"], found["status"]) == ("paid", 200)
    assert found["payment"]["success"] is True


def test_it_never_pays_more_than_it_may(shop):
    with pytest.raises(CommandError, match=r"costs more than 0\.009") as refused:
        buy(URL, "--max", "0.009", "--yes")
    assert refused.value.returncode == paywall_buy.REFUSED
    assert shop.payments == []


@pytest.mark.parametrize("answer", ["n\n", "", "7\n", "-1\n", "0\n"])
def test_who_is_asked_and_says_no_pays_nothing(shop, monkeypatch, answer):
    with pytest.raises(CommandError, match="Nothing was paid"):
        buy(URL, answer=answer, monkeypatch=monkeypatch)
    assert shop.payments == []


@pytest.mark.parametrize(("answer", "protocol"), [("\n", "x402/2"), ("2\n", "mpp/1")])
def test_who_is_asked_and_says_yes_pays(monkeypatch, answer, protocol):
    buy(URL, answer=answer, monkeypatch=monkeypatch)
    assert Payment.objects.get().protocol == protocol


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([URL, "--yes"], "Say how much"),
        ([URL, "--yes", "--max", "NaN"], "not 'NaN'"),
        ([URL, "--yes", "--max", "-1"], "not '-1'"),
        ([URL, "--yes", "--max", "much"], "not 'much'"),
        (["ftp://testserver/"], "begins with http"),
        (["http://["], "begins with http"),
        (["https://"], "begins with http"),
        ([], "begins with http"),
        ([URL, "--header", "nonsense"], "A header is"),
        (["--again", "nowhere.json"], "no payment that was kept"),
    ],
)
def test_what_is_typed_wrong(shop, arguments, text):
    with pytest.raises(CommandError, match=text):
        buy(*arguments)
    assert shop.payments == []


@pytest.mark.parametrize(("key", "text"), [("", "Put the private key"), ("zz", "no private key")])
def test_a_key_that_is_none(monkeypatch, key, text):
    monkeypatch.setenv("PAYWALL_BUYER_KEY", key)
    with pytest.raises(CommandError, match=text):
        buy(URL, "--yes", "--max", "1")


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mpp", None)
    with pytest.raises(CommandError, match=r"django-paywall\[buyer\]"):
        buy(URL, "--yes", "--max", "1")


def test_an_address_that_nobody_has():
    with pytest.raises(CommandError, match="cannot be reached") as nobody:
        buy("https://testserver:nonsense/", "--yes", "--max", "1")
    assert nobody.value.returncode == paywall_buy.UNREACHABLE


def test_what_cannot_be_signed_is_not_sent(shop, monkeypatch):
    def refuses(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("x402.client.x402ClientSync.create_payment_payload", refuses)
    with pytest.raises(CommandError, match=r"cannot be signed \(RuntimeError\)"):
        buy(URL, "--yes", "--max", "1")
    assert shop.payments == []


def test_what_a_site_says_does_not_play_with_the_terminal(shop):
    said = {"code": "x\x1b[2J", "detail": "\x1b]0;owned\x07"}
    shop.instead = [httpx.Response(402, json=said)]
    with pytest.raises(CommandError, match="Refused: x") as refused:
        buy(URL, "--yes", "--max", "1")
    assert "\x1b" not in str(refused.value)


def test_what_is_free_is_printed(shop):
    out, err = buy("https://testserver/free/sync/")
    assert "nothing to pay" in err
    assert out
    assert shop.payments == []


def test_what_is_not_for_sale_is_no_purchase(shop, item):
    item.prices.all().delete()
    with pytest.raises(CommandError, match="503, not_for_sale") as refused:
        buy(URL, "--yes", "--max", "1")
    assert refused.value.returncode == paywall_buy.REFUSED


def test_a_refusal_is_final(shop, facilitator):
    facilitator.balances[WALLET.address] = 0
    with pytest.raises(CommandError, match="Refused: ") as refused:
        buy(URL, "--yes", "--max", "1")
    assert refused.value.returncode == paywall_buy.REFUSED
    assert len(shop.payments) == 1
    assert kept() == []


LOST = httpx.ReadTimeout("lost")


@pytest.mark.parametrize("trouble", [LOST, httpx.Response(503), httpx.Response(502)])
def test_without_an_outcome_the_same_payment_is_presented_again(shop, trouble):
    shop.instead = [trouble, trouble]
    out, err = buy(URL, "--yes", "--max", "1")
    assert out == CONTENT
    assert err.count("presenting the same payment again") == 2
    assert len(shop.payments) == 3
    assert len(set(shop.payments)) == 1
    assert Payment.objects.count() == 1


def test_what_stays_unknown_is_kept_and_never_signed_anew(shop):
    shop.instead = [LOST] * 4
    with pytest.raises(CommandError, match="Do not pay anew") as unknown:
        buy(URL, "--yes", "--max", "1")
    assert unknown.value.returncode == paywall_buy.UNKNOWN
    (path,) = kept()
    assert path.stat().st_mode & 0o777 == 0o600
    assert WALLET.key.hex() not in path.read_text()
    out, _ = buy("--again", str(path))
    assert out == CONTENT
    assert len(set(shop.payments)) == 1
    assert kept() == []


def test_a_refusal_after_that_is_no_outcome(shop):
    """It may be refused because it was taken."""
    shop.instead = [LOST, httpx.Response(402, json={"code": "payment_failed"})]
    with pytest.raises(CommandError, match="not known whether it was paid"):
        buy(URL, "--yes", "--max", "1")
    assert len(kept()) == 1


def test_what_was_delivered_in_an_answer_that_got_lost(shop):
    buy(URL, "--yes", "--max", "1")
    first = shop.payments[0]
    Path("kept.json").write_text(
        json.dumps(
            {
                "request": {"method": "GET", "url": URL, "headers": {}, "body": ""},
                "payment": {"PAYMENT-SIGNATURE": first},
            }
        )
    )
    with pytest.raises(CommandError, match="delivered in an answer that was lost: https://"):
        buy("--again", "kept.json")
    assert Payment.objects.count() == 1


def test_a_redirect_is_not_followed_with_a_payment(shop):
    elsewhere = httpx.Response(308, headers={"Location": "https://elsewhere.example/"})
    shop.instead = [elsewhere] * 4
    with pytest.raises(CommandError, match="308"):
        buy(URL, "--yes", "--max", "1")
