"""What the owner is told, once, and until it arrives."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from paywall import business_days, ledger
from paywall.models import Alert, AlertMessage, FacilitatorHealth, Payment, Wallet
from paywall.rails import registry
from paywall.reports import alerts, rollups
from tests.doubles import serving
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db

SECRET = b64encode(b"k" * 32).decode()


@pytest.fixture(autouse=True)
def morning(monkeypatch):
    """Before the hour of the daily summary, unless a test says otherwise."""
    monkeypatch.setattr(alerts, "SUMMARY_HOUR", 25)


@pytest.fixture
def by_mail(paywall_settings):
    paywall_settings(ALERT_EMAILS=["owner@example.com"])


@pytest.fixture
def hook(paywall_settings):
    """A site that takes webhooks, and answers what the test says."""
    seen: list[tuple[dict[str, str], str]] = []

    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(Handler.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    Handler.seen = seen
    with serving(Handler) as url:
        paywall_settings(ALERT_WEBHOOK_URL=f"{url}/hook", ALERT_WEBHOOK_SECRET=f"whsec_{SECRET}")
        yield Handler


def lose(item, identity: str = "one") -> Payment:
    payment, _ = claim(item, identity)
    ledger.settling([payment], 60, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.lost(payment, "nothing_moved")
    return payment


def again() -> None:
    """Later: what failed is due once more."""
    AlertMessage.objects.update(due_at=timezone.now())


def test_nobody_is_told_where_nobody_wants_to_be(item):
    lose(item)
    assert not alerts.tell()
    assert not Alert.objects.exists()


def test_a_lost_payment_is_told_once(item, by_mail):
    payment = lose(item)
    assert alerts.tell() == {"raised": 1, "sent": 1}
    assert alerts.tell() == {}
    (message,) = mail.outbox
    assert message.subject == f"[Paywall] Payment #{payment.pk} of 0.01 USD was lost"
    assert "nothing_moved" in message.body
    assert Alert.objects.get().payment == payment


def test_what_was_delivered_and_never_paid_is_told_too(item, by_mail):
    payment, _ = claim(item)
    Payment.objects.update(on_credit=True)
    payment.refresh_from_db()
    ledger.delivered(payment)
    ledger.failed(payment, "never_settled")
    alerts.tell()
    assert "was delivered and never paid" in mail.outbox[0].subject


def test_old_losses_are_not_news(item, by_mail):
    payment = lose(item)
    Payment.objects.filter(pk=payment.pk).update(closed_at=timezone.now() - timedelta(days=8))
    assert alerts.tell() == {}


def test_a_facilitator_that_is_down_and_gas_that_is_low(by_mail):
    FacilitatorHealth.objects.create(name="theirs", failures=2, last_trouble="read timeout")
    Wallet.objects.create(network="eip155:8453", address="0x" + "1" * 40, balance="4000000000000")
    assert alerts.tell() == {"raised": 1, "sent": 1}
    assert mail.outbox[0].subject == "[Paywall] Gas is low on Base"
    FacilitatorHealth.objects.update(failures=3)
    assert alerts.tell() == {"raised": 1, "sent": 1}
    assert mail.outbox[1].subject == "[Paywall] The facilitator theirs is down"
    assert alerts.tell() == {}


def test_what_one_rail_cannot_say_hides_no_others_news(by_mail, monkeypatch, caplog):
    class Broken:
        def news(self):
            raise RuntimeError("a rail broke")
            yield

    well = list(registry.all_().values())
    monkeypatch.setattr(registry, "who_can", lambda ability: [Broken(), *well])
    Wallet.objects.create(network="eip155:8453", address="0x" + "1" * 40, balance="4000000000000")
    assert alerts.tell() == {"raised": 1, "sent": 1}
    assert "a rail broke" in caplog.text


def test_an_engine_that_is_behind(item, by_mail):
    claim(item)
    Payment.objects.update(
        held_until=timezone.now() - timedelta(minutes=5),
        due_at=timezone.now() - timedelta(minutes=5),
    )
    alerts.tell()
    assert mail.outbox[0].subject == "[Paywall] The engine is behind"


def test_the_day_is_summed_up_the_morning_after(item, by_mail, monkeypatch):
    monkeypatch.setattr(alerts, "SUMMARY_HOUR", 0)
    for identity in ("one", "two"):
        payment, _ = claim(item, identity)
        ledger.settling([payment], 60, "default")
        ledger.settled([payment], BLOCK.reference)
    Payment.objects.update(created_at=timezone.now() - timedelta(days=1))
    rollups.rebuild()
    alerts.tell()
    alerts.tell()
    (message,) = mail.outbox
    yesterday = business_days.today() - timedelta(days=1)
    assert message.subject == f"[Paywall] {yesterday}: 0.02 USD"
    assert "Sales: 2" in message.body
    assert "Buyers: 1" in message.body


def test_a_webhook_is_signed_as_the_standard_has_it(item, hook):
    lose(item)
    alerts.tell()
    ((headers, body),) = hook.seen
    alert = Alert.objects.get()
    assert headers["webhook-id"] == f"alert_{alert.pk}"
    # Checked by hand, with the standard's own words: base64(HMAC-SHA-256("id.timestamp.body")).
    import hashlib
    import hmac

    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    expected = b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)
    assert told["type"] == "paywall.lost"
    assert told["data"]["code"] == "nothing_moved"


def test_what_does_not_arrive_is_sent_again_and_at_last_given_up(item, hook, caplog):
    hook.status = 503
    lose(item)
    assert alerts.tell() == {"raised": 1, "failed": 1}
    message = AlertMessage.objects.get()
    assert (message.attempts, message.trouble) == (1, "HTTPError: it answered 503")
    assert message.due_at > timezone.now()
    assert alerts.tell() == {}  # not yet due
    for _ in range(alerts.ATTEMPTS):
        again()
        alerts.tell()
    message.refresh_from_db()
    assert message.attempts == alerts.ATTEMPTS
    assert message.given_up_at is not None
    assert len(hook.seen) == alerts.ATTEMPTS


def test_it_arrives_when_the_other_side_is_back(item, hook):
    hook.status = 500
    lose(item)
    alerts.tell()
    hook.status = 204
    again()
    assert alerts.tell() == {"sent": 1}
    assert AlertMessage.objects.get().sent_at is not None
    assert len({headers["webhook-id"] for headers, _ in hook.seen}) == 1


def test_a_mail_server_that_is_away_loses_nothing(item, by_mail, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    lose(item)
    assert alerts.tell() == {"raised": 1, "failed": 1}
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    again()
    assert alerts.tell() == {"sent": 1}


def test_the_owner_tries_it_and_sends_again(by_mail, db):
    User.objects.create_superuser("owner", password="x")
    client = Client()
    client.login(username="owner", password="x")
    client.post("/admin/paywall/alert/test/")
    alerts.tell()
    assert mail.outbox[0].subject == "[Paywall] A test of the paywall's alerts"
    alert = Alert.objects.get()
    page = client.get("/admin/paywall/alert/").content.decode()
    assert "A test of the paywall" in page
    data = {"action": "send_again", "_selected_action": [alert.pk]}
    client.post("/admin/paywall/alert/", data)
    alerts.tell()
    assert len(mail.outbox) == 2


def test_trying_it_without_an_address_says_what_to_set(db):
    User.objects.create_superuser("owner", password="x")
    client = Client()
    client.login(username="owner", password="x")
    page = client.post("/admin/paywall/alert/test/", follow=True).content.decode()
    assert "Add a recipient of alerts first" in page
    assert not Alert.objects.exists()
