"""Programs that nobody here wrote buy from the demo site, and the money moves on a real node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account.signers.local import LocalAccount
from mpp import Receipt as MppReceipt
from x402 import x402ClientSync
from x402.http.clients import x402_requests
from x402.mechanisms.evm.exact import register_exact_evm_client

from paywall.testing import outcome_of
from site_demo.chain.local import LocalChain, account

from .conftest import ROOT, SELLER, Site

CLIENTS = Path(__file__).parent / "clients"
LEGACY_PYTHON = ROOT / "var" / "legacy-client" / "bin" / "python"


class Bought:
    """What a client in another process got."""

    def __init__(self, command: list[str], wallet: LocalAccount) -> None:
        key = "0x" + wallet.key.hex().removeprefix("0x")
        env = {**os.environ, "BUYER_KEY": key, "PAYWALL_BUYER_KEY": key}
        run = subprocess.run(
            command, cwd=CLIENTS, env=env, capture_output=True, text=True, timeout=60
        )
        assert run.returncode == 0, run.stderr
        answer = json.loads(run.stdout.splitlines()[-1])
        self.status_code: int = answer["status"]
        self.text: str = answer["body"]
        self.headers = requests.structures.CaseInsensitiveDict(answer["headers"])


def official_python(method: str, url: str, wallet: LocalAccount) -> Any:
    client = x402ClientSync()
    register_exact_evm_client(client, wallet)
    return x402_requests(client).request(method, url)


def official_typescript(method: str, url: str, wallet: LocalAccount) -> Any:
    return _node("v2", method, url, wallet)


def legacy_typescript(method: str, url: str, wallet: LocalAccount) -> Any:
    return _node("v1", method, url, wallet)


def legacy_python(method: str, url: str, wallet: LocalAccount) -> Any:
    if not LEGACY_PYTHON.exists():
        pytest.skip("x402 0.3.0 is not installed (make clients)")
    return Bought([str(LEGACY_PYTHON), "buy_legacy.py", method, url], wallet)


def _node(version: str, method: str, url: str, wallet: LocalAccount) -> Bought:
    if not (CLIENTS / "node_modules").exists():
        pytest.skip("the TypeScript clients are not installed (make clients)")
    return Bought([shutil.which("node") or "node", "buy.mjs", version, method, url], wallet)


def mpp_python(method: str, url: str, wallet: LocalAccount) -> Any:
    return Bought([sys.executable, "buy_mpp.py", method, url], wallet)


def mpp_typescript(method: str, url: str, wallet: LocalAccount) -> Any:
    return Bought([shutil.which("node") or "node", "buy_mpp.mjs", method, url], wallet)


BUYERS = [
    *(official_python, official_typescript, legacy_typescript, legacy_python),
    *(mpp_python, mpp_typescript),
]
PROTOCOLS = {
    official_python: "x402/2",
    official_typescript: "x402/2",
    legacy_typescript: "x402/1",
    legacy_python: "x402/1",
    mpp_python: "mpp/1",
    mpp_typescript: "mpp/1",
}


def payments(site: Site) -> list[dict[str, Any]]:
    code = (
        "import json; from paywall.models import Payment; "
        "print(json.dumps(list(Payment.objects.order_by('pk').values("
        "'state', 'protocol', 'method', 'url', 'error_code'))))"
    )
    return list(json.loads(site.shell(code)))


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
@pytest.mark.parametrize("buys", BUYERS, ids=lambda f: f.__name__)
def test_the_shop_sells(make_site, chain: LocalChain, rich, buys, server):
    site = make_site(server).start()
    before = chain.balance(SELLER)

    forecast = buys("GET", f"{site.url}/api/forecast/?city=Porto", rich)
    assert forecast.status_code == 200, forecast.text
    assert json.loads(forecast.text)["city"] == "Porto"
    outcome = outcome_of(forecast)
    assert outcome["success"] is True
    if PROTOCOLS[buys] == "mpp/1":
        receipt = MppReceipt.from_payment_receipt(forecast.headers["Payment-Receipt"])
        assert receipt.reference == outcome["transaction"]
    assert chain.rpc("eth_getTransactionReceipt", outcome["transaction"])["status"] == "0x1"

    article = buys("GET", f"{site.url}/articles/slow-money/", rich)
    assert article.status_code == 200
    assert "The ledger is a school exercise book" in article.text

    report = buys("GET", f"{site.url}/api/report/", rich)
    assert report.status_code == 200

    job = buys("POST", f"{site.url}/api/jobs/", rich)
    assert job.status_code == 201
    assert requests.get(site.url + job.headers["Location"]).json()["state"] == "queued"

    broken = buys("GET", f"{site.url}/api/broken/", rich)
    assert broken.status_code == 500

    assert chain.balance(SELLER) - before == 10_000 + 100_000 + 250_000 + 50_000
    assert site.manage("paywall_run", "--once").strip() == "confirm: 4 confirmed"
    found = payments(site)
    assert [p["state"] for p in found] == ["confirmed"] * 4 + ["failed"]
    assert {p["protocol"] for p in found} == {PROTOCOLS[buys]}
    link = requests.utils.parse_header_links(forecast.headers["Link"])[0]
    receipt = requests.get(link["url"]).json()
    assert link["rel"] == "receipt"
    assert receipt["payment"]["state"] == "confirmed"
    assert receipt["number"] in (1, 2, 3, 4)


@pytest.mark.parametrize("protocol", ["x402", "mpp"])
def test_the_command_buys(make_site, chain: LocalChain, rich, protocol):
    site = make_site().start()
    before = chain.balance(SELLER)
    url = f"{site.url}/api/forecast/?city=Porto"
    options = ["--yes", "--max", "0.01", "--protocol", protocol, "--json"]
    manage = [sys.executable, str(ROOT / "manage.py"), "paywall_buy"]
    bought = Bought([*manage, url, *options], rich)
    assert json.loads(bought.text)["city"] == "Porto"
    assert outcome_of(bought)["success"] is True
    assert chain.balance(SELLER) - before == 10_000
    assert not list(CLIENTS.glob("paywall-payment-*"))


def test_a_new_site_buys_from_itself(make_site, chain: LocalChain, rich):
    site = make_site()
    site.shell("from paywall.models import Account; Account.objects.all().delete()")
    site.env["PAYWALL_BUYER_KEY"] = rich.key.hex()
    wallet = account(3).address
    before = chain.balance(wallet)
    options = ["--wallet", wallet, "--facilitator", "x402.org", "--no-input"]
    told = site.manage("paywall_init", "--network", "test", *options)
    assert "The first sale" in told
    assert chain.balance(wallet) - before == 10_000
    assert [p["state"] for p in payments(site)] == ["settled"]


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_a_live_url_is_looked_at(make_site, server):
    site = make_site(server).start()
    told = site.manage("paywall_check", f"{site.url}/api/forecast/?city=Porto")
    assert "x402 v2 offers 1" in told
    assert "MPP offers 1" in told
    assert "fail" not in told


def test_the_free_parts_are_free(make_site):
    site = make_site().start()
    assert requests.get(f"{site.url}/api/hello/").json() == {"hello": "world"}
    assert requests.get(f"{site.url}/healthz").json() == {"status": "ok"}
    listing = requests.get(f"{site.url}/articles/")
    for title in ("Slow Money", "Quiet Engines", "The Deep Archive"):
        assert title in listing.text
    assert "The ledger is a school exercise book" not in listing.text


def test_prices_are_the_promised_ones(make_site):
    site = make_site().start()
    promised = {
        "/api/forecast/": "10000",
        "/api/report/": "250000",
        "/api/broken/": "10000",
        "/articles/slow-money/": "100000",
        "/articles/quiet-engines/": "100000",
        "/articles/deep-archive/": "1000000",
    }
    for path, amount in promised.items():
        response = requests.get(site.url + path)
        assert response.status_code == 402
        assert response.json()["accepts"][0]["maxAmountRequired"] == amount
    assert requests.post(f"{site.url}/api/jobs/").json()["accepts"][0]["maxAmountRequired"] == (
        "50000"
    )


def test_a_browser_sees_the_shops_own_page(make_site):
    site = make_site().start()
    page = requests.get(f"{site.url}/articles/deep-archive/", headers={"Accept": "text/html"})
    assert page.status_code == 402
    assert "Under a mountain" in page.text
    assert "A small magazine" in page.text  # the site's own template around ours
    assert requests.get(f"{site.url}/static/paywall/payment_required.css").status_code == 200
    assert requests.get(f"{site.url}/admin/login/").status_code == 200


def test_it_runs_without_a_node_too(make_site, rich):
    site = make_site(PAYWALL_RPC_URL="").start()
    bought = official_python("GET", f"{site.url}/api/forecast/", rich)
    assert bought.status_code == 200
    assert site.manage("paywall_run", "--once").strip() == ""
    assert payments(site)[0]["state"] == "settled"
    assert "none confirmed" in site.manage("seed_demo")


def test_a_price_changed_elsewhere_shows_in_every_process(make_site):
    import time

    site = make_site().start(workers=2)
    url = f"{site.url}/api/forecast/"
    for _ in range(8):
        requests.get(url)
    site.shell(
        "from paywall.models import *; from decimal import Decimal; "
        "Price.objects.create(resource=Resource.objects.get(slug='forecast'), "
        "amount=Decimal('0.02'))"
    )
    time.sleep(1.1)
    amounts = {requests.get(url).json()["accepts"][0]["maxAmountRequired"] for _ in range(20)}
    assert amounts == {"20000"}
