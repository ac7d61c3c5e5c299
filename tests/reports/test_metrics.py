"""What Prometheus and log collectors are told."""

from __future__ import annotations

import json
import logging

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from paywall.logs import Fields
from paywall.models import FacilitatorHealth, Wallet
from paywall.reports import metrics
from tests.doubles import failure

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = {"Authorization": "Bearer of metrics"}


@pytest.fixture(scope="module", autouse=True)
def installed():
    metrics.install()


@pytest.fixture
def open_page(paywall_settings):
    paywall_settings(METRICS_TOKEN="of metrics")


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_moves_are_counted_by_state_and_reason(item, buyer, facilitator):
    def buy():
        client = Client()
        client.get("/item/", headers=buyer.pays(client.get("/item/")))

    settled = value("paywall_moves_total", state="settled", reason="")
    took = value("paywall_settle_seconds_count")
    buy()
    assert value("paywall_moves_total", state="settled", reason="") == settled + 1
    assert value("paywall_settle_seconds_count") == took + 1
    facilitator.settle = failure("insufficient_funds")
    failed = value("paywall_moves_total", state="failed", reason="insufficient_funds")
    buy()
    assert value("paywall_moves_total", state="failed", reason="insufficient_funds") == failed + 1


def test_the_page_shows_how_things_stand(item, buyer, facilitator, open_page):
    item.policy = "background"
    item.save()
    Wallet.objects.create(network="eip155:1", address="0xa", balance=str(5 * 10**18))
    FacilitatorHealth.objects.create(name="first", failures=2)
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    page = client.get("/paywall/metrics/", headers=TOKEN)
    assert page.status_code == 200
    text = page.content.decode()
    for line in (
        'paywall_open_payments{state="claimed"} 1.0',
        'paywall_exposure{currency="USD"} 0.01',
        'paywall_gas_balance{address="0xa",network="eip155:1"} 5.0',
        'paywall_facilitator_failures{facilitator="first"} 2.0',
        "paywall_moves_total",
        "paywall_oldest_undone_seconds",
    ):
        assert line in text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_the_page_is_for_who_has_the_token(headers, open_page):
    assert Client().get("/paywall/metrics/", headers=headers).status_code == 401


def test_without_a_token_there_is_no_page():
    assert Client().get("/paywall/metrics/", headers=TOKEN).status_code == 404


def test_logs_have_fields(capsys):
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler()
    handler.addFilter(Fields())
    handler.setFormatter(JsonFormatter("{message}", style="{"))
    log = logging.getLogger("paywall.test_logs")
    log.addHandler(handler)
    log.warning("payment=%s refund=%s sent in %s", 7, 3, "0xabc")
    log.warning("transaction=%s waits: no node", "0xabc")
    log.removeHandler(handler)
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["payment"], first["refund"], first["transaction"]) == (7, 3, None)
    assert (second["payment"], second["transaction"]) == (None, "0xabc")
