"""Where money goes, tried on a real chain; and the desk's rounds under a real worker's command."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from paywall.models import Account
from paywall.rails.evm import desk
from site_demo.chain.local import USDC
from tests.conftest import PAY_TO

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(shop) -> Client:
    User.objects.create_superuser("owner", password="x")
    client = Client()
    client.login(username="owner", password="x")
    return client


def test_a_test_payment_is_waited_for_until_it_arrives(owner, chain, account):
    url = reverse("admin:paywall_account_test", args=[account.pk])
    page = owner.get(url).content.decode()
    assert "Waiting for it" in page
    live = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    units = int(re.search(r"uint256=(\d+)", page)[1])
    chain.mint(PAY_TO, units + 1)  # somebody else's
    waiting = owner.get(live, headers={"HX-Request": "true"}).content.decode()
    assert "Waiting for it" in waiting
    assert "<html" not in waiting
    chain.mint(PAY_TO, units)
    arrived = owner.get(live, headers={"HX-Request": "true"}).content.decode()
    assert "It arrived." in arrived
    assert "hx-get" not in arrived


def test_the_balance_is_shown(owner, chain, account):
    chain.mint(PAY_TO, 1_000_000)
    page = owner.get(f"/admin/paywall/account/{account.pk}/change/").content.decode()
    balance = chain.balance(PAY_TO) / 10**6
    assert re.search(rf"{balance:.6f}".rstrip("0").rstrip(".").replace(".", r"\.") + " USDC", page)


def test_a_token_contract_is_known_by_asking_the_chain(owner, chain, account, monkeypatch):
    """The token stands for one that no table of ours has: it is asked as any contract."""
    monkeypatch.setattr(desk, "TOKENS", {})
    data = {
        "preset": "",
        "network": "eip155:84532",
        "asset": "0x" + "12" * 20,
        "symbol": "X",
        "decimals": "6",
        "eip712_name": "X",
        "eip712_version": "1",
        "currency": "USD",
        "pay_to": USDC,
        "confirmations": "1",
        "order": "0",
        "enabled": "on",
    }
    page = owner.post("/admin/paywall/account/add/", data).content.decode()
    assert "contract: money sent there is gone" in page
    assert Account.objects.count() == 1


def test_a_sale_comes_onto_the_dashboard_by_the_engines_rounds(make_site, rich_buyer):
    site = make_site().start()
    import requests

    url = f"{site.url}/articles/slow-money/"
    challenge = requests.get(url, timeout=30)
    paid = requests.get(url, headers=rich_buyer.pays(challenge), timeout=60)
    assert paid.status_code == 200
    site.manage("paywall_run", "--once")
    shown = site.shell(
        "from paywall.models import SalesDay; d = SalesDay.objects.get(); print(d.sales, d.policy)"
    )
    assert shown.splitlines()[-1] == "1 after"
