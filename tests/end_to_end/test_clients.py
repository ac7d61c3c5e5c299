"""Programs that nobody here wrote buy from the demo site, and the money moves on a real node."""

from __future__ import annotations

import pytest
import requests
from x402 import x402ClientSync
from x402.http.clients import x402_requests
from x402.mechanisms.evm.exact import register_exact_evm_client

from paywall.testing import outcome_of

from .conftest import SELLER


def official_client(wallet):
    client = x402ClientSync()
    register_exact_evm_client(client, wallet)
    return x402_requests(client)


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_the_official_client_buys(make_site, chain, rich, server):
    site = make_site(server).start()
    before = chain.balance(SELLER)

    response = official_client(rich).get(f"{site.url}/api/forecast/?city=Porto")

    assert response.status_code == 200
    assert response.json()["city"] == "Porto"
    assert chain.balance(SELLER) - before == 10_000
    assert outcome_of(response)["success"] is True
    print(response.headers)
    print(site.manage("paywall_run", "--once"))
    receipt = requests.get(response.links["receipt"]["url"]).json()
    print(receipt)
    assert receipt["payment"]["state"] == "confirmed"
    print(site.log)
