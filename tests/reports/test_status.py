from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from paywall import ledger
from paywall.models import Payment
from paywall.reports import status
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(item):
    """One payment of each kind that the owner wants to know of."""
    stuck, _ = claim(item, "stuck")
    ledger.settling([stuck], 1, "default")
    owed, _ = claim(item, "owed")
    ledger.settling([owed], 1, "default")
    ledger.settled([owed], BLOCK.reference)
    lost, _ = claim(item, "lost")
    ledger.settling([lost], 1, "default")
    ledger.settled([lost], BLOCK.reference)
    ledger.lost(lost, "nothing_moved")


def overdue(seconds: int) -> None:
    past = timezone.now() - timedelta(seconds=seconds)
    Payment.objects.update(held_until=past, due_at=past)


def test_an_empty_shop_keeps_up(db):
    found = status.take()
    assert found.is_keeping_up
    assert set(found.payments.values()) == {0}
    assert Client().get("/paywall/health/").json() == {"status": "ok"}


def test_it_counts(shop):
    overdue(5)
    found = status.take()
    assert (found.payments["settling"], found.payments["lost"]) == (1, 1)
    assert (found.waiting, found.owed, found.needing_attention) == (1, 1, 1)
    assert 4 < found.longest_wait.total_seconds() < 10
    assert found.is_keeping_up


def test_work_that_lies_undone_is_seen(shop, capsys):
    overdue(120)
    assert not status.is_keeping_up()
    response = Client().get("/paywall/health/")
    assert (response.status_code, response.json()) == (503, {"status": "behind"})
    with pytest.raises(SystemExit) as exited:
        call_command("paywall_status")
    assert exited.value.code == 1
    told = capsys.readouterr().out
    assert "The engine is behind" in told
    assert "paid, not collected       1" in told


def test_what_somebody_works_on_is_not_undone(shop):
    overdue(120)
    Payment.objects.update(held_until=timezone.now() + timedelta(seconds=30))
    assert status.is_keeping_up()


def test_settled_payments_wait_only_where_there_is_a_node(shop, paywall_settings):
    Payment.objects.filter(identity="stuck").delete()
    overdue(120)
    assert status.is_keeping_up()
    paywall_settings(RPC_URLS={"eip155:84532": "http://127.0.0.1:1"})
    assert not status.is_keeping_up()


def test_for_a_program(make_resource, buyer, facilitator, capsys):
    make_resource(policy="background", price="0.25")
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    call_command("paywall_status", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["keepingUp"] is True
    assert found["payments"]["claimed"] == 1
    assert found["exposure"] == {"USD": "0.25"}
    call_command("paywall_status")
    assert "on credit, not settled    0.25 USD" in capsys.readouterr().out
