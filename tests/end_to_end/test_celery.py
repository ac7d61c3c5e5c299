"""A real worker with beat, over Redis and over the demo's embedded broker."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from paywall.schedule import CHAIN, MONEY
from tests import services

from .test_clients import official_python


@pytest.fixture
def redis() -> Any:
    with services.redis() as url:
        yield url


def wait_for_state(receipt_url: str, state: str, seconds: float = 40) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        receipt: dict[str, Any] = requests.get(receipt_url).json()
        if receipt["payment"]["state"] == state or time.monotonic() > deadline:
            return receipt
        time.sleep(0.3)


@pytest.mark.parametrize("broker", ["redis", "embedded"])
def test_celery_confirms(request, make_site, rich, broker, tmp_path):
    env = {}
    if broker == "redis":
        env["CELERY_BROKER_URL"] = request.getfixturevalue("redis")
    site = make_site(**env).start()
    site.spawn(
        *("-m", "celery", "-A", "site_demo", "worker", "--beat", "--concurrency", "1"),
        *("-Q", f"{MONEY},{CHAIN}"),
        *("--loglevel", "info", "--schedule", str(tmp_path / "schedule")),
    )
    bought = official_python("GET", f"{site.url}/api/forecast/", rich)
    assert bought.status_code == 200
    receipt = wait_for_state(bought.links["receipt"]["url"], "confirmed")
    assert receipt["payment"]["state"] == "confirmed", site.log
    assert receipt["number"] == 1
    assert "paywall.confirm_payments" in site.log
