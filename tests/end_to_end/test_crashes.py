"""One payment presented by many at once, and processes that die at the worst moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import requests

from paywall import settlement
from paywall.testing import Buyer, encode
from site_demo.chain.local import LocalChain
from tests import doubles, services
from tests.doubles import success

from .conftest import ROOT, SELLER, Site
from .presenting import Answer, present


@pytest.fixture(scope="session")
def postgresql() -> Any:
    with services.postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'site.sqlite3'}"
    url = request.getfixturevalue("postgresql")
    name = f"d{os.urandom(6).hex()}"
    subprocess.run(["psql", "-q", url, "-c", f"CREATE DATABASE {name}"], check=True)
    return str(url.rsplit("/", 1)[0] + f"/{name}")


def fifty_threads(url: str, header: str) -> list[Answer]:
    """50 threads over 4 processes of clients."""
    command = [sys.executable, "-m", "tests.end_to_end.presenting"]
    processes = [
        subprocess.Popen(
            [*command, str(threads), url, header], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for threads in (13, 13, 12, 12)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    return [tuple(answer) for output in outputs for answer in json.loads(output.splitlines()[-1])]


@pytest.mark.parametrize("path", ["/api/forecast/?city=Porto", "/api/report/"])
def test_fifty_present_one_payment(make_site, database, chain, facilitator_url, rich, path):
    """Exactly one delivery, one settle call, one transfer."""
    with doubles.facilitator() as double:

        def pass_on(body: dict[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = httpx.post(
                f"{facilitator_url}/settle", json=body, timeout=30
            ).json()
            return answer

        double.settle = doubles.Answer(body=pass_on)
        site = make_site(DATABASE_URL=database, PAYWALL_FACILITATOR_URL=double.url).start(workers=4)
        url = site.url + path
        header = encode(Buyer(rich).payload(requests.get(url)))
        before = chain.balance(SELLER)

        answers = fifty_threads(url, header)

        assert len(answers) == 50
        codes = Counter(answers)
        assert codes.pop((200, "")) == 1
        assert set(codes) <= {(503, "settlement_pending"), (409, "payment_already_used")}
        assert len(double.asked("/settle")) == 1
        assert chain.balance(SELLER) - before == (10_000 if "forecast" in path else 250_000)
        assert present(url, header)[1] == "payment_already_used"
        assert "Traceback" not in site.log


def killed_during(site: Site, url: str, header: str, moment: threading.Event) -> None:
    """Present a payment, and SIGKILL the whole site at that moment."""
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(lambda: requests.get(url, headers={"PAYMENT-SIGNATURE": header}))
        assert moment.wait(20)
        site.kill()
        with pytest.raises(requests.ConnectionError):
            request.result()


@pytest.mark.parametrize("settled", [False, True], ids=["before it settled", "after it settled"])
@pytest.mark.parametrize("path", ["/api/forecast/", "/api/report/"])
def test_killed_while_settle_is_out(
    make_site, database, chain, facilitator_url, rich, path, settled
):
    """The payment can be collected, once, for one transfer."""
    with doubles.facilitator() as double:
        out = threading.Event()

        def hold(body: dict[str, Any]) -> None:
            if settled:
                httpx.post(f"{facilitator_url}/settle", json=body, timeout=30)
            out.set()
            time.sleep(1)

        double.settle = doubles.Answer(before=hold, die=True)
        site = make_site(DATABASE_URL=database, PAYWALL_FACILITATOR_URL=double.url).start()
        url = site.url + path
        header = encode(Buyer(rich).payload(requests.get(url)))
        before = chain.balance(SELLER)
        killed_during(site, url, header, out)

    site.env["PAYWALL_FACILITATOR_URL"] = facilitator_url
    restarted_on_the_same_port(site)
    status, told = present(url, header)
    if not settled or status != 200:  # a restart may take longer than anybody's patience
        assert told == "settlement_pending"  # it may still be answered
        if settled:
            time.sleep(settlement.PATIENCE)  # the chain shows it, so nobody waits any longer
        else:
            lapse(site)
        assert present(url, header)[0] == 200
    assert present(url, header)[1] == "payment_already_used"
    assert chain.balance(SELLER) - before == (10_000 if "forecast" in path else 250_000)
    assert site.manage("paywall_run", "--once").strip() == "confirm: 1 confirmed"


def test_killed_and_swept(make_site, database, chain, facilitator_url, rich):
    """Nobody comes back: the engine finds what was settled, by itself."""
    with doubles.facilitator() as double:
        out = threading.Event()

        def settle(body: dict[str, Any]) -> None:
            httpx.post(f"{facilitator_url}/settle", json=body, timeout=30)
            out.set()
            time.sleep(1)

        double.settle = doubles.Answer(before=settle, body=success().body)
        site = make_site(DATABASE_URL=database, PAYWALL_FACILITATOR_URL=double.url).start()
        url = f"{site.url}/api/forecast/"
        header = encode(Buyer(rich).payload(requests.get(url)))
        killed_during(site, url, header, out)
    lapse(site)
    assert site.manage("paywall_run", "--once").split("\n")[:2] == [
        "sweep: 1 settled",
        "confirm: 1 confirmed",
    ]


def test_killed_while_the_view_ran(make_site, database, chain: LocalChain, rich):
    """Nothing was sent: the buyer may try again with the same payment."""
    site = make_site(DATABASE_URL=database).start()
    url = f"{site.url}/api/forecast/"
    header = encode(Buyer(rich).payload(requests.get(url)))
    claim = (
        "import os; from paywall import settlement; "
        "settlement.settle = lambda *a, **k: os.kill(os.getpid(), 9); "
        "from django.test import Client; "
        f"Client(headers={{'PAYMENT-SIGNATURE': {header!r}, 'Host': {url.split('/')[2]!r}}})"
        ".get('/api/forecast/')"
    )
    died = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", claim], cwd=ROOT, env=site.env
    )
    assert died.returncode == -signal.SIGKILL
    before = chain.balance(SELLER)
    assert present(url, header)[1] == "settlement_pending"
    lapse(site)
    assert present(url, header)[0] == 200
    assert chain.balance(SELLER) - before == 10_000


def lapse(site: Site) -> None:
    """Let the time pass for which a request holds a payment."""
    site.shell(
        "from paywall.models import Payment; from django.utils.timezone import now; "
        "Payment.objects.update(held_until=now(), due_at=now())"
    )


def restarted_on_the_same_port(site: Site) -> None:
    """The URL that was paid for is part of the payment."""
    port = int(site.url.rsplit(":", 1)[1])
    site.start(port=port)
