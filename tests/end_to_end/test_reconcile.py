"""The chain against the ledger, both ways."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from paywall.models import Payment, Refund
from paywall.privacy import people
from paywall.settlement import refunds, worker
from paywall.testing import Buyer
from site_demo.chain.local import CHAIN_ID, account
from tests.helpers import TX

from .helpers import pay

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def chain(private_chain):
    """An account that nobody else pays into."""
    return private_chain


@pytest.fixture
def buyer() -> Buyer:
    return Buyer(account(5))


@pytest.fixture
def books(chain, buyer):
    """Three confirmed payments."""
    client = Client()
    challenge = client.get("/item/")
    for _ in range(3):
        assert pay(client, buyer.payload(challenge)).status_code == 200
    assert worker.confirm_payments() == {"confirmed": 3}
    return client


def reconcile(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("paywall_reconcile", *arguments, stdout=out, no_color=True)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


def as_json(*arguments: str):
    status, text = reconcile("--json", *arguments)
    (found,) = json.loads(text)
    return status, found


def test_they_agree(books):
    status, found = as_json()
    assert (status, found["agrees"]) == (0, True)
    assert found["onChain"] == found["inLedger"] == {"count": 3, "amount": "30000"}
    status, table = reconcile()
    assert status == 0
    assert "0.03" in table
    assert "agree" in table


def test_what_is_on_its_way_is_no_difference(books, buyer):
    assert pay(books, buyer.payload(books.get("/item/"))).status_code == 200
    status, found = as_json()
    assert (status, found["inFlight"]) == (0, 1)


def test_missing_on_the_chain(books):
    payment = Payment.objects.first()
    Payment.objects.filter(pk=payment.pk).update(identity="eip3009:forged")
    status, found = as_json()
    assert (status, found["agrees"]) == (1, False)
    assert [entry["payment"] for entry in found["missing"]] == [payment.pk]
    assert len(found["unmatched"]) == 1
    assert f"missing: payment {payment.pk}" in reconcile()[1]


def test_extra_on_the_chain(books):
    """The money came, and the ledger says that it did not."""
    Payment.objects.filter(pk=Payment.objects.first().pk).move(
        "failed", error_code="x", closed_at=timezone.now()
    )
    status, found = as_json()
    assert (status, len(found["extra"])) == (1, 1)
    assert "extra: payment" in reconcile()[1]


def test_other_money_is_listed(books, chain):
    chain.send("transfer(address,uint256)", account(1).address, 77, sender=5)
    status, found = as_json()
    assert status == 0
    assert [entry["amount"] for entry in found["unmatched"]] == ["77"]
    assert as_json("--strict")[0] == 1
    assert "unmatched: 0.000077 USDC" in reconcile()[1]


def test_refunds_are_counted_and_looked_up(books, chain):
    payment = Payment.objects.first()
    refunds.request(payment, 4_000, "half", seen=0)
    for _ in range(3):
        Refund.objects.update(due_at="2020-01-01T00:00Z")
        worker.see_to_refunds()
    status, found = as_json()
    assert (status, found["refunds"]) == (0, {"count": 1, "amount": "4000"})
    Refund.objects.update(reference=TX)
    status, found = as_json()
    assert (status, len(found["refundsMissing"])) == (1, 1)


def test_since(books, chain, buyer):
    tomorrow = (timezone.now() + timezone.timedelta(days=1)).isoformat()
    assert as_json("--since", tomorrow)[1]["onChain"]["count"] == 0
    assert as_json("--since", "2020-01-01")[1]["onChain"]["count"] == 3
    for nonsense in ("yesterday", "2020-13-01"):
        with pytest.raises(CommandError, match="ISO 8601"):
            reconcile("--since", nonsense)


def test_a_node_that_is_down_is_no_agreement(books, paywall_settings):
    paywall_settings(RPC_URLS={f"eip155:{CHAIN_ID}": "http://127.0.0.1:9"})
    with pytest.raises(CommandError, match="cannot be read") as error:
        reconcile()
    assert error.value.returncode == 2


def test_they_agree_when_wallets_are_forgotten(books, buyer):
    payment = Payment.objects.earliest("pk")
    refunds.request(payment, 4_000, "half", seen=0)
    for _ in range(3):
        Refund.objects.update(due_at="2020-01-01T00:00Z")
        worker.see_to_refunds()
    assert people.forget(people.wallet(str(payment.payer))).is_whole
    status, found = as_json("--strict")
    assert (status, found["agrees"], found["unmatched"]) == (0, True, [])
    assert found["onChain"] == found["inLedger"] == {"count": 3, "amount": "30000"}
    assert found["refunds"] == {"count": 1, "amount": "4000"}
