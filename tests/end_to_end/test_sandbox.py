"""The sandbox: the official client and a person in Chromium pay, and nothing else runs."""

from __future__ import annotations

import pytest
from eth_account import Account
from playwright.sync_api import expect

from .browser import browser
from .reader import Reader
from .test_clients import legacy_python, official_python, official_typescript


@pytest.fixture
def site(make_site):
    nowhere = "http://127.0.0.1:9"
    env = {"PAYWALL_FACILITATOR_URL": nowhere, "PAYWALL_RPC_URL": nowhere}
    return make_site("uvicorn", PAYWALL_SANDBOX="1", PAYWALL_FREE_ARTICLES="0", **env).start()


@pytest.mark.parametrize("client", [official_python, official_typescript, legacy_python])
def test_the_official_clients_pay(site, client):
    paid = client("GET", f"{site.url}/api/forecast/", Account.create())
    assert paid.status_code == 200
    site.manage("paywall_run", "--once")
    said = site.shell(
        "from paywall.models import Payment; p = Payment.objects.get(); print(p.rail, p.state)"
    )
    assert said.splitlines()[-1] == "sandbox confirmed"


@pytest.mark.parametrize("scripted", [True, False])
def test_a_person_pays_with_a_click(site, scripted):
    with browser() as chrome:
        person = Reader(chrome, site.url, java_script_enabled=scripted)
        page = person.open("/articles/slow-money/")
        expect(person.way("wallet")).to_have_count(0)
        if scripted:
            person.look("sandbox", "402")
        person.pay("sandbox")
        expect(page.locator("main.article")).to_contain_text("The ledger is a school exercise book")
        assert person.problems == []
        person.close()
