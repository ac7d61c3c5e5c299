"""The front door in front of a served site: several processes, and what strangers can do to it."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest
import requests

from site_demo.chain.local import free_port, wait_for

from .conftest import Site

pytestmark = pytest.mark.slow

PATH = "/api/forecast/"


@pytest.fixture(params=["gunicorn", "uvicorn"])
def site(request: pytest.FixtureRequest, make_site: Any) -> Site:
    """Two processes, each with a door of its own."""
    found: Site = make_site(PAYWALL_CRAWL_LOG="True")
    port = str(free_port())
    found.url = f"http://127.0.0.1:{port}"
    if request.param == "gunicorn":
        command = ["gunicorn", "benchmarks.doors:wsgi", "-b", f"127.0.0.1:{port}", "-w", "2"]
        command += ["--threads", "4"]
    else:
        command = ["uvicorn", "benchmarks.doors:asgi", "--port", port, "--workers", "2"]
    found.spawn("-m", *command, "--log-level", "warning")
    wait_for(f"{found.url}/healthz", found.processes[-1])
    return found


def prices(site: Site, number: int = 60) -> set[str]:
    """What is asked for, of many who come at once, each over a connection of its own."""

    def ask(_: int) -> str:
        told = requests.get(site.url + PATH, timeout=60).headers["PAYMENT-REQUIRED"]
        amount: str = json.loads(base64.b64decode(told))["accepts"][0]["amount"]
        return amount

    with ThreadPoolExecutor(8) as executor:
        return set(executor.map(ask, range(number)))


def test_a_price_that_changed_elsewhere_is_told_by_every_process(site):
    assert prices(site) == {"10000"}
    site.shell(
        "from paywall.models import Price, Resource; "
        "Price.objects.create(resource=Resource.objects.get(slug='forecast'), amount='0.03')"
    )
    sleep(1.1)  # CACHE_SECONDS, as documented
    assert prices(site) == {"30000"}
    site.shell(
        "from paywall.models import Resource; "
        "Resource.objects.filter(slug='forecast').update(active=False)"
    )
    sleep(1.1)
    assert requests.get(site.url + PATH, timeout=60).status_code == 503


def test_what_both_processes_counted_is_on_the_dashboard(site):
    prices(site, 50)
    asked = ""
    for _ in range(60):
        prices(site, 1)  # the next one after ten seconds has it written
        asked = site.shell(
            "from django.db.models import Sum; from paywall.models import VisitorDay; "
            "print(VisitorDay.objects.aggregate(n=Sum('asked'))['n'] or 0)"
        )
        if int(asked) >= 50:
            break
        sleep(1)
    assert int(asked) >= 50
