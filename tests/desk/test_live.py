"""The doctor's page, acknowledged losses, whom alerts go to, and the switch to real money."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from paywall import ledger
from paywall.catalog import sample
from paywall.findings import fail, note, ok
from paywall.models import (
    Account,
    AlertRecipient,
    Examination,
    FailureDay,
    Payment,
    Refund,
    Resource,
    RollUp,
)
from paywall.reports import alerts, doctor, losses, rollups
from paywall.testing.factories import make_account
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db

MAINNET = "usdc-base"


# ------------------------------------------------------------------------- The doctor


def test_what_the_doctor_found_stands_on_the_dashboard(owner, sold):
    sold()
    rollups.rebuild()
    assert "has not looked yet" in owner.get("/dashboard/").content.decode()
    doctor.keep([ok("a"), fail("the node is gone", "Start it"), note("c")], live="https://x/y")
    page = owner.get("/dashboard/").content.decode()
    assert "1 thing stops money" in page
    assert "/dashboard/doctor/" in page
    page = owner.get("/dashboard/doctor/").content.decode()
    assert page.index("the node is gone") < page.index("<strong>note</strong> c")
    assert "Start it" in page
    assert "https://x/y" in page
    doctor.keep([ok("a")])
    assert "all is well" in owner.get("/dashboard/").content.decode()
    assert Examination.objects.count() == 1


def test_it_looks_when_somebody_asks_who_may(owner, staff, item, facilitator):
    assert owner.post("/dashboard/doctor/").status_code == 302
    assert "stops money" in owner.get("/dashboard/doctor/").content.decode()
    assert Examination.objects.get().by.username == "owner"
    auditor = staff("Paywall auditors")
    assert auditor.post("/dashboard/doctor/").status_code == 403
    assert "Look now" not in auditor.get("/dashboard/doctor/").content.decode()
    assert staff("Paywall refunders", name="r").post("/dashboard/doctor/").status_code == 302


# ------------------------------------------------------------------------------ Losses


def test_losses_that_were_seen_to_are_no_news(owner, staff, sold):
    sold("one", state="lost")
    rollups.rebuild()
    assert "1 payment of the last 30 days was lost." in owner.get("/dashboard/").content.decode()
    assert staff("Paywall auditors").post("/dashboard/seen/").status_code == 403
    owner.post("/dashboard/seen/")
    assert "was lost" not in owner.get("/dashboard/").content.decode()
    sold("two", state="lost")
    rollups.rebuild()
    assert "1 payment of the last 30 days was lost." in owner.get("/dashboard/").content.decode()


def test_an_older_payment_that_is_lost_later_is_news(owner, sold):
    """It counts on the day on which it was sold, which was seen before."""
    old = timezone.now() - timedelta(days=5)
    sold("one", state="lost", created_at=old)
    rollups.rebuild()
    losses.acknowledge(None)
    assert losses.unseen().lost == 0
    sold("two", state="lost", created_at=old)
    rollups.rebuild()
    assert losses.unseen().lost == 1
    FailureDay.objects.all().delete()
    assert losses.unseen().lost == 0


# ------------------------------------------------------------------------------ Alerts


def test_whom_alerts_go_to_is_said_at_the_desk(owner, sold, paywall_settings):
    paywall_settings(ALERT_EMAILS=["code@example.com"])
    for email, troubles, summaries in (
        ("all@example.com", True, True),
        ("sales@example.com", False, True),
        ("code@example.com", True, True),
    ):
        AlertRecipient.objects.create(email=email, troubles=troubles, summaries=summaries)
    assert [to for _, to in alerts.addresses("lost")] == ["code@example.com", "all@example.com"]
    assert len(alerts.addresses("summary")) == len(alerts.addresses("test")) == 3
    sold("one", state="lost")
    alerts.tell()
    assert sorted(message.to[0] for message in mail.outbox if "lost" in message.subject) == [
        *("all@example.com", "code@example.com"),
    ]


def test_they_are_added_and_switched_in_the_admin(owner):
    added = owner.post("/admin/paywall/alertrecipient/add/", {"email": "a@example.com"})
    assert added.status_code == 302
    assert AlertRecipient.objects.get().troubles is False  # an unticked box
    assert "a@example.com" in owner.get("/admin/paywall/alertrecipient/").content.decode()


# -------------------------------------------------------------------------- Real money


@pytest.fixture
def ready(item, facilitator, paywall_settings, monkeypatch, settings):
    """All is set up for real money; what a node would say is the doctor's own test."""
    paywall_settings(RPC_URLS={"eip155:8453": "http://127.0.0.1:9"})
    RollUp.objects.all().delete()
    rollups.roll_up()
    main = make_account(MAINNET)
    main.enabled = False
    main.save()
    monkeypatch.setattr("paywall.dashboard.live._examined", lambda found: [ok("the node")])
    return main


def test_what_is_missing_is_ticked_off(owner, item, facilitator):
    page = owner.get("/dashboard/live/").content.decode()
    assert "Add the wallet that real money goes to" in page
    assert "Missing: USD" in page
    assert "disabled>Take real money from now on" in page
    assert "0.01 USD" in page
    owner.post("/dashboard/live/", {"to": "main"})
    assert Account.objects.get().enabled
    assert "Not yet: An account on a main network" in owner.get("/dashboard/live/").content.decode()


def test_the_switch_and_back(owner, ready):
    assert "disabled>Take real" in owner.get("/dashboard/live/").content.decode()  # not asked yet
    page = owner.get("/dashboard/live/?look=1").content.decode()
    assert "disabled>Take real" not in page
    owner.post("/dashboard/live/", {"to": "main"})
    enabled = Account.objects.filter(enabled=True)
    assert [account.network for account in enabled] == ["eip155:8453"]
    assert LogEntry.objects.filter(change_message__contains="enabled: False → True").exists()
    assert Resource.objects.get(slug=sample.SLUG).prices.get().amount == sample.PRICE
    page = owner.get("/dashboard/live/").content.decode()
    assert "Real money is taken, and no test money." in page
    assert "A first real payment, to yourself" in page
    owner.post("/dashboard/live/", {"to": "test"})
    enabled = Account.objects.filter(enabled=True)
    assert [account.network for account in enabled] == ["eip155:84532"]


def test_what_a_node_says_keeps_it_shut(owner, ready, monkeypatch):
    said = [fail("the node is of another chain", "Name another")]
    monkeypatch.setattr("paywall.dashboard.live._examined", lambda found: said)
    owner.post("/dashboard/live/", {"to": "main"})
    assert [a.network for a in Account.objects.filter(enabled=True)] == ["eip155:84532"]
    page = owner.get("/dashboard/live/?look=1").content.decode()
    assert "the node is of another chain. Name another" in page


def test_two_people_are_needed_where_the_site_says_so(owner, ready, paywall_settings):
    paywall_settings(TWO_PERSON_RULE=True, RPC_URLS={"eip155:8453": "http://127.0.0.1:9"})
    owner.post("/dashboard/live/", {"to": "main"})
    assert [a.network for a in Account.objects.filter(enabled=True)] == ["eip155:84532"]
    page = owner.get("/dashboard/live/").content.decode()
    assert "waits for approval" in page
    second = User.objects.create_superuser("second")
    client = Client()
    client.force_login(second)
    client.post("/admin/paywall/account/", {"action": "approve", "_selected_action": [ready.pk]})
    owner.post("/dashboard/live/", {"to": "main"})
    assert [a.network for a in Account.objects.filter(enabled=True)] == ["eip155:8453"]


def test_who_may_not_change_accounts_does_not_switch(staff, ready):
    client = staff("Paywall price editors")
    assert "Take real money" not in client.get("/dashboard/live/").content.decode()
    assert client.post("/dashboard/live/", {"to": "main"}).status_code == 403


def test_the_first_payment_is_followed_to_its_refund(owner, ready):
    owner.post("/dashboard/live/", {"to": "main"})
    payment, _ = claim(Resource.objects.get(slug=sample.SLUG))
    ledger.settling([payment], 0, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    page = owner.get("/dashboard/live/").content.decode()
    assert "<strong>✓</strong> Pay one cent:" in page
    assert "<strong>2</strong> See it confirmed." in page
    assert "#desk-h-refund" not in page
    ledger.confirmed([([Payment.objects.get(pk=payment.pk)], BLOCK)])
    page = owner.get("/dashboard/live/").content.decode()
    assert "<strong>✓</strong> See it confirmed." in page
    assert "#desk-h-refund" in page
    Refund.objects.create(
        payment=payment,
        amount="1",
        reason="r",
        is_ours_to_send=True,
        reference="0x1",
        state="confirmed",
    )
    page = owner.get("/dashboard/live/").content.decode()
    assert "<strong>✓</strong> Refund it" in page
