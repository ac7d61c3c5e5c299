"""Everything that can break does, with real parts: money and ledger agree afterwards."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from io import StringIO
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.utils import timezone
from eth_account import Account as Key

from paywall import crashpoints
from paywall.models import Cursor, Payment, Receipt, Refund
from paywall.models.payments import State
from paywall.settlement import refunds, worker
from paywall.testing import Buyer
from site_demo.chain.local import CHAIN_ID, USDC_UNIT, account
from tests import doubles
from tests.doubles import TX, Answer, failure
from tests.helpers import at_once, let_lapse

from .conftest import SELLER
from .helpers import cancel, pay

pytestmark = pytest.mark.django_db(transaction=True)

START = "2020-01-01T00:00Z"


@pytest.fixture
def chain(private_chain, paywall_settings):
    paywall_settings(EXPOSURE_PER_PAYER="1000", EXPOSURE_TOTAL="1000", EXPOSURE_PER_MINUTE=10_000)
    return private_chain


@pytest.fixture
def buyer() -> Buyer:
    return Buyer(account(5))


@pytest.fixture
def on_credit(item):
    item.policy = "background"
    item.save()
    return item


def buy(buyer: Buyer, times: int) -> None:
    client = Client()
    challenge = client.get("/item/")
    for _ in range(times):
        assert pay(client, buyer.payload(challenge)).status_code == 200


def in_a_worker(work: Callable[[], Any], die_at: str = "") -> int:
    """Run in a process of its own; returns the signal that killed it, or 0."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            crashpoints._chosen = die_at
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def until_final(rounds: int = 12) -> None:
    """What the workers that are left do, until there is nothing to do."""
    for _ in range(rounds):
        let_lapse()
        Refund.objects.update(held_until=START, due_at=START)
        Cursor.objects.update(held_until=START)
        for work in (worker.settle, worker.sweep, worker.confirm_payments, worker.see_to_refunds):
            work()
        open_payments = Payment.objects.filter(state__in=["claimed", "settling", "settled"])
        open_refunds = Refund.objects.filter(state__in=["requested", "sent"])
        if not open_payments.exists() and not open_refunds.exists():
            return
        time.sleep(0.05)
    raise AssertionError([(p.pk, p.state, p.story) for p in open_payments])


def reconciled() -> dict[str, Any]:
    out = StringIO()
    call_command("paywall_reconcile", "--json", "--strict", stdout=out)
    (found,) = json.loads(out.getvalue())
    assert found["agrees"]
    return dict(found)


# ------------------------------------------------------------------------- SIGKILL

KINDS = {
    "settle": (1, worker.settle),
    "batch": (3, worker.settle),
    "confirm": (3, worker.confirm_payments),
    "refund": (1, worker.see_to_refunds),
}


@pytest.mark.parametrize("point", [p for p in crashpoints.POINTS if p.split(":")[0] in KINDS])
def test_a_worker_killed_at_any_point_loses_and_doubles_nothing(on_credit, chain, buyer, point):
    number, work = KINDS[point.split(":")[0]]
    buy(buyer, number)
    if work is not worker.settle:
        worker.settle()
    if work is worker.see_to_refunds:
        worker.confirm_payments()
        refunds.request(Payment.objects.get(), 4_000, "half", seen=0)
        if point == "refund: confirmed":
            worker.see_to_refunds()
            Refund.objects.update(due_at=START)

    assert in_a_worker(work, die_at=point) == -signal.SIGKILL

    until_final()
    assert set(Payment.objects.values_list("state", flat=True)) == {State.CONFIRMED}
    assert chain.balance(SELLER) == number * 10_000
    numbers = Receipt.objects.order_by("number").values_list("number", flat=True)
    assert list(numbers) == list(range(1, number + 1))
    found = reconciled()
    assert found["onChain"]["count"] == number
    if work is worker.see_to_refunds:
        assert found["refunds"] == {"count": 1, "amount": "4000"}
        assert chain.balance(account(8).address) == 1000 * USDC_UNIT - 4_000


def test_every_point_is_somewhere_in_the_code():
    from .conftest import ROOT

    code = "".join(path.read_text() for path in (ROOT / "paywall").rglob("*.py"))
    for point in crashpoints.POINTS:
        assert f'crashpoints.reach("{point}")' in code


# ------------------------------------------------------------------ The payer and the token


@pytest.mark.parametrize("trouble", ["paused", "blacklisted", "drained", "cancelled"])
@pytest.mark.parametrize("policy", ["after", "background"])
def test_what_the_payer_takes_away_between_verify_and_settle(item, chain, policy, trouble):
    """In line nothing is delivered; on credit it is a loss within the limits, and told."""
    item.policy = policy
    item.save()
    wallet = Key.create()
    chain.mint(wallet.address, 10_000)
    chain.rpc("anvil_setBalance", wallet.address, hex(10**18))
    buyer, client = Buyer(wallet), Client()
    payload = buyer.payload(client.get("/item/"))

    def spoil() -> None:
        match trouble:
            case "paused":
                chain.send("setPaused(bool)", True)
            case "blacklisted":
                chain.send("setBlacklisted(address,bool)", wallet.address, True)
            case "drained":
                chain.rpc("anvil_impersonateAccount", wallet.address)
                where = account(7).address
                chain.send_from(wallet.address, "transfer(address,uint256)", where, 10_000)
            case "cancelled":
                cancel(chain, buyer, payload)

    if policy == "after":
        spoil()
        assert pay(client, payload).status_code == 402
    else:
        assert pay(client, payload).status_code == 200
        spoil()
    until_final()
    payment = Payment.objects.get()
    assert payment.state == State.FAILED
    assert (payment.delivered_at is not None) == (policy == "background")
    assert (payment in Payment.objects.needing_attention()) == (policy == "background")
    assert chain.balance(SELLER) == 0
    assert reconciled()["onChain"]["count"] == 0


# ----------------------------------------------------------------------------- The node


def test_a_node_that_is_down_delays(on_credit, chain, buyer, paywall_settings):
    buy(buyer, 3)
    paywall_settings(RPC_URLS={f"eip155:{CHAIN_ID}": "http://127.0.0.1:9"}, RPC_TIMEOUT=0.5)
    for work in (worker.settle, worker.sweep, worker.confirm_payments):
        let_lapse()
        work()
    assert set(Payment.objects.values_list("state", flat=True)) == {State.CLAIMED}
    paywall_settings(RPC_URLS={f"eip155:{CHAIN_ID}": chain.url})
    until_final()
    assert chain.balance(SELLER) == 30_000


def test_a_node_that_stands_still_in_the_middle_delays(on_credit, chain, buyer, paywall_settings):
    """It took the transaction, and then says nothing for a while."""
    paywall_settings(RPC_TIMEOUT=0.3)
    buy(buyer, 3)
    process = chain._process
    assert process is not None
    stopped = threading.Timer(0.05, process.send_signal, [signal.SIGSTOP])
    stopped.start()
    worker.settle()
    stopped.join()
    let_lapse()
    worker.sweep()
    worker.confirm_payments()
    process.send_signal(signal.SIGCONT)
    paywall_settings(RPC_TIMEOUT=10.0)
    until_final()
    assert set(Payment.objects.values_list("state", flat=True)) == {State.CONFIRMED}
    assert chain.balance(SELLER) == 30_000
    assert reconciled()["onChain"]["count"] == 3


# ---------------------------------------------------------------------------- The clock


@pytest.mark.parametrize("off", [-10, 10], ids=["slow", "fast"])
def test_a_worker_whose_clock_is_ten_minutes_off(on_credit, chain, buyer, monkeypatch, off):
    """It may look too early or too late; it decides nothing by its own clock."""
    buy(buyer, 2)

    def with_that_clock() -> None:
        real_now, real_time = timezone.now, time.time

        def now() -> datetime:
            return real_now() + timedelta(minutes=off)

        monkeypatch.setattr(timezone, "now", now)
        monkeypatch.setattr(time, "time", lambda: real_time() + 60 * off)
        for work in (worker.settle, worker.sweep, worker.confirm_payments):
            work()

    assert in_a_worker(with_that_clock) == 0
    assert not Payment.objects.filter(state__in=["failed", "lost"]).exists()
    until_final()
    assert set(Payment.objects.values_list("state", flat=True)) == {State.CONFIRMED}
    assert chain.balance(SELLER) == 20_000


# ---------------------------------------------------------------------- The facilitator


@pytest.mark.parametrize("policy", ["after", "before", "background"])
def test_a_facilitator_of_every_kind_of_fault_while_sixteen_buy(
    item, chain, policy, paywall_settings
):
    """Whatever it answers, nobody pays twice, nobody gets it for nothing in line."""
    item.policy = policy
    item.save()
    wallets = [Key.create() for _ in range(16)]
    for wallet in wallets:
        chain.mint(wallet.address, 100_000)
    from .conftest import official_facilitator

    with official_facilitator(chain, 3) as real, doubles.facilitator() as double:

        def settle(body: dict[str, Any]) -> Any:
            return httpx.post(f"{real}/settle", json=body, timeout=60).json()

        def settle_quietly(body: dict[str, Any]) -> None:
            settle(body)

        kinds = itertools.cycle(
            [
                Answer(body=settle),
                Answer(die=True),
                Answer(die=True, before=settle_quietly),
                Answer(500, {}),
                Answer(500, {}, before=settle_quietly),
                Answer(body=b"<html>"),
                Answer(429, {}),
                failure("insufficient_funds"),
                failure("settlement_pending", TX),
                Answer(cut=True, body={}, before=settle_quietly),
                Answer(body={"success": True, "transaction": "", "network": "eip155:84532"}),
                Answer(302, {}),
            ]
        )
        lock = threading.Lock()

        class Chosen:
            """A new answer for each request."""

            def pop(self, _: int = 0) -> Answer:
                with lock:
                    return next(kinds)

            def __len__(self) -> int:
                return 2

        double.answer = lambda path, request: Chosen().pop()  # type: ignore[method-assign]
        paywall_settings(FACILITATOR_URL=double.url, GAS_KEY="", FACILITATOR_READ_TIMEOUT=20.0)
        outcomes: dict[str, list[int]] = {}

        def buyer_of(wallet: Any) -> None:
            buyer, client = Buyer(wallet), Client()
            codes = []
            for _ in range(3):
                payload = buyer.payload(client.get("/item/"))
                for _ in range(6):
                    code = pay(client, payload).status_code
                    codes.append(code)
                    if code != 503:
                        break
                    time.sleep(0.05)
            outcomes[wallet.address] = codes
            connections.close_all()

        at_once([partial(buyer_of, wallet) for wallet in wallets])

        double.answer = lambda path, request: Answer(body=settle)  # type: ignore[method-assign]
        for _ in range(6):
            let_lapse()
            for work in (worker.settle, worker.sweep, worker.confirm_payments):
                work()

    delivered = sum(codes.count(200) for codes in outcomes.values())
    assert Payment.objects.filter(delivered_at__isnull=False).count() == delivered
    unpaid = Payment.objects.filter(delivered_at__isnull=False).exclude(state=State.CONFIRMED)
    if policy != "background":
        assert not unpaid.exists()
    confirmed = Payment.objects.filter(state=State.CONFIRMED).count()
    assert chain.balance(SELLER) == confirmed * 10_000 + reconciled()["inFlight"] * 10_000
    for wallet in wallets:
        spent = 100_000 - chain.balance(wallet.address)
        paid = Payment.objects.filter(payer=wallet.address, state=State.CONFIRMED).count()
        assert spent == paid * 10_000
