"""Refunds by Stripe, and disputes: money that goes back."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone

from paywall.dashboard import exports
from paywall.models import Account, Alert, Dispute, Order, Payment, Refund
from paywall.models.payments import State
from paywall.rails.card import webhooks
from paywall.refunds import RefundRefused, request
from paywall.reports import alerts, rollups
from paywall.settlement import worker
from tests.helpers import at_once

from .conftest import Buyer, tell

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(item, buyer, stripe) -> str:
    """What its buyer has paid."""
    order, session = buyer.orders()
    stripe.pay(session)
    buyer.returns(order)
    assert buyer.get("/item/").status_code == 200
    return session


@pytest.fixture
def payment(session) -> Payment:
    return Payment.objects.get()


def refunded(stripe) -> int:
    """What Stripe has sent back, in cents."""
    return sum(o["amount"] for o in stripe.objects.values() if o["object"] == "refund")


def see_to_refunds() -> None:
    for _ in range(3):
        Refund.objects.update(due_at=timezone.now(), held_until=timezone.now())
        worker.see_to_refunds()


# ----------------------------------------------------------------------------- Refunds


def test_a_part_and_then_the_rest(payment, buyer, stripe):
    request(payment, 40, "a part", seen=0)
    see_to_refunds()
    assert (Refund.objects.get().state, refunded(stripe)) == ("confirmed", 40)
    assert Refund.objects.get().reference.startswith("re_")
    assert buyer.get("/item/").status_code == 200
    request(payment, 60, "the rest", seen=40, revoke_pass=True)
    see_to_refunds()
    assert refunded(stripe) == 100
    assert buyer.get("/item/").status_code == 402
    with pytest.raises(RefundRefused, match="More would go back"):
        request(payment, 1, "more", seen=100)


@pytest.mark.parametrize("how", ["silent_after", "broken"])
def test_an_answer_that_does_not_come_refunds_once(payment, stripe, how):
    getattr(stripe, how).append("/refunds")
    request(payment, 100, "all", seen=0)
    worker.see_to_refunds()
    assert Refund.objects.get().state == "sent"
    see_to_refunds()
    assert (Refund.objects.get().state, refunded(stripe)) == ("confirmed", 100)


def test_days_later_when_stripe_has_forgotten_the_key(payment, stripe):
    stripe.silent_after.append("/refunds")
    request(payment, 30, "a part", seen=0)
    worker.see_to_refunds()
    stripe.answers.clear()
    see_to_refunds()
    assert (Refund.objects.get().state, refunded(stripe)) == ("confirmed", 30)


def test_what_stripe_refuses_can_be_refunded_otherwise(payment, buyer, stripe):
    intent = stripe.objects[payment.reference]
    stripe.objects[intent["latest_charge"]]["disputed"] = True
    request(payment, 100, "all", seen=0, revoke_pass=True)
    see_to_refunds()
    refund = Refund.objects.get()
    assert refund.state == "failed"
    assert "charge_disputed" in refund.error_detail
    assert buyer.get("/item/").status_code == 200, "the pass is good again"
    assert Payment.objects.get().refunded == "0"


def test_one_that_the_owner_made_at_stripe_is_written_down(payment, stripe):
    stripe.call("POST", "/v1/refunds", {"payment_intent": payment.reference, "amount": "25"})
    for _ in range(2):
        tell(stripe.last("charge.refunded"))
    see_to_refunds()
    refund = Refund.objects.get()
    assert (refund.state, refund.amount, refund.is_ours_to_send) == ("confirmed", "25", False)
    assert Payment.objects.get().refunded == "25"
    assert refunded(stripe) == 25


def test_our_own_is_not_written_down_twice(payment, stripe):
    request(payment, 100, "all", seen=0)
    see_to_refunds()
    tell(stripe.last("charge.refunded"))
    assert Refund.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_workers_send_it_once(payment, stripe):
    request(payment, 100, "all", seen=0)

    def one() -> None:
        worker.see_to_refunds()
        connection.close()

    at_once([one] * 8)
    see_to_refunds()
    assert (Refund.objects.get().state, refunded(stripe)) == ("confirmed", 100)


# ---------------------------------------------------------------------------- Disputes


def test_a_dispute_closes_the_pass_and_is_an_alert(
    payment, session, buyer, stripe, paywall_settings
):
    dispute = stripe.dispute(session)
    for _ in range(2):
        tell(stripe.last("charge.dispute.created"))
    assert buyer.get("/item/").status_code == 402
    row = Dispute.objects.get()
    assert (row.state, row.amount, row.reason) == ("open", "100", "fraudulent")
    assert row.reference == dispute["id"]
    paywall_settings(ALERT_EMAILS=["owner@example.com"])
    alerts.tell()
    assert Alert.objects.get(kind="dispute").payment == payment


def test_while_it_is_open_nothing_is_refunded(payment, session, stripe):
    stripe.dispute(session)
    tell(stripe.last("charge.dispute.created"))
    with pytest.raises(RefundRefused, match="disputes it"):
        request(payment, 100, "all", seen=0)


def test_won_it_is_as_before(payment, session, buyer, stripe):
    dispute = stripe.dispute(session)
    tell(stripe.last("charge.dispute.created"))
    stripe.decides(dispute, "won")
    tell(stripe.last("charge.dispute.closed"))
    assert (Dispute.objects.get().state, Payment.objects.get().state) == ("won", State.CONFIRMED)
    assert buyer.get("/item/").status_code == 200


def test_lost_the_payment_is_lost(payment, session, buyer, stripe):
    dispute = stripe.dispute(session)
    stripe.decides(dispute, "lost")
    tell(stripe.last("charge.dispute.closed"))
    tell(stripe.last("charge.dispute.created"))
    assert (Dispute.objects.get().state, Payment.objects.get().state) == ("lost", State.LOST)
    assert Payment.objects.get().error_code == "dispute_lost"
    assert buyer.get("/item/").status_code == 402
    with pytest.raises(RefundRefused):
        request(payment, 100, "all", seen=0)


def test_an_inquiry_takes_nothing_away(payment, session, buyer, stripe):
    dispute = stripe.dispute(session)
    stripe.objects[dispute["id"]]["status"] = "warning_needs_response"
    tell(stripe.last("charge.dispute.created"))
    assert not Dispute.objects.exists()
    assert buyer.get("/item/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_it_is_lost_once_however_many_tell(payment, session, stripe):
    dispute = stripe.dispute(session)
    stripe.decides(dispute, "lost")
    event = stripe.last("charge.dispute.closed")

    def one(number: int) -> None:
        tell({**event, "id": f"evt_{number}"})
        connection.close()

    at_once([partial(one, number) for number in range(10)])
    assert Payment.objects.get().events.filter(kind="lost").count() == 1


def test_after_an_outage_all_of_it_is_caught_up(payment, session, buyer, stripe):
    dispute = stripe.dispute(session)
    stripe.decides(dispute, "won")
    webhooks.catch_up(timezone.now() - timedelta(hours=1))
    assert Dispute.objects.get().state == "won"
    assert buyer.get("/item/").status_code == 200


def test_a_dispute_of_another_shops_payment(item, stripe):
    values = {"payment_intent": "pi_another", "amount": 1, "status": "lost"}
    other = stripe.new("dp", "dispute", **values)
    assert tell(stripe.happened("charge.dispute.closed", other)).status_code == 200
    assert not Dispute.objects.exists()


# ------------------------------------------------------------------------- The desk


def test_an_account_is_a_few_fields(db, stripe, admin_client):
    page = admin_client.get("/admin/paywall/account/add/?rail=card")
    assert b"Cards from" in page.content
    sent = {"currency": "EUR", "minimum": "1.50", "descriptor": "Slow Press", "order": "0"}
    sent["profile"] = "profile_1MqDcVKA5f"
    response = admin_client.post("/admin/paywall/account/add/?rail=card", {**sent, "enabled": "on"})
    assert response.status_code == 302, response.content
    account = Account.objects.get()
    assert (account.rail, account.network, account.decimals) == ("card", "stripe:test", 2)
    assert account.terms == {
        "currency": "EUR",
        "minimum": "1.50",
        "descriptor": "Slow Press",
        "profile": "profile_1MqDcVKA5f",
    }
    change = f"/admin/paywall/account/{account.pk}/change/"
    assert b"Slow Press" in admin_client.get(change).content
    response = admin_client.post(change, {"minimum": "2", "order": "1", "enabled": "on"})
    assert response.status_code == 302
    account.refresh_from_db()
    assert account.terms == {
        "currency": "EUR",
        "minimum": "2",
        "descriptor": "",
        "profile": "",
    }


def test_without_a_key_there_is_no_account_for_cards(db, admin_client):
    sent = {"currency": "EUR", "minimum": "1.50", "order": "0"}
    response = admin_client.post("/admin/paywall/account/add/?rail=card", sent)
    assert b"cards need an account at Stripe" in response.content


def test_it_is_in_the_books(payment, admin_client, client):
    for path in (
        "/dashboard/",
        "/dashboard/receipts/",
        f"/admin/paywall/payment/{payment.pk}/change/",
        f"/admin/paywall/order/{Order.objects.get().pk}/change/",
        "/admin/paywall/account/",
    ):
        assert admin_client.get(path).status_code == 200, path
    text = admin_client.get(f"/admin/paywall/payment/{payment.pk}/change/").content.decode()
    assert f"https://dashboard.stripe.com/test/payments/{payment.reference}" in text
    assert "0.33" in text
    receipt = f"/paywall/receipts/{payment.receipt.public_id}/"
    told = client.get(receipt).json()
    assert (told["price"], told["payment"]["transaction"]) == ("1.00", payment.reference)
    page = client.get(receipt, headers={"Accept": "text/html"}).content.decode()
    assert "paid, for good" in page
    assert "dashboard.stripe.com" not in page, "that is the owner's"
    desk = admin_client.get(f"/dashboard/receipts/{payment.receipt.pk}/").content.decode()
    assert "dashboard.stripe.com" in desk
    assert "0.33 USD" in desk


def test_fees_are_on_the_dashboard_and_in_the_months(payment, admin_client):
    rollups.rebuild()
    page = admin_client.get("/dashboard/?period=7").content.decode()
    assert "0.33 USD of it kept as fees" in page
    (row,) = exports.month_table("")[1]
    assert [str(value) for value in row[-2:]] == ["0.33", "0.67"]


def test_checks(item, stripe, paywall_settings):
    from django.core.checks import run_checks

    def ids() -> set[str | None]:
        return {found.id for found in run_checks(databases=["default"])}

    from tests import stripe_double

    assert "paywall.W011" in ids(), "play money in earnest"
    assert not ids() & {"paywall.E015", "paywall.E016", "paywall.W017"}
    paywall_settings(STRIPE={"API_KEY": stripe_double.KEY})
    assert "paywall.W017" in ids()
    paywall_settings(STRIPE={"API_KEY": "sk_live_1", "WEBHOOK_SECRET": "whsec_1"})
    assert "paywall.E016" in ids()
    paywall_settings(STRIPE={})
    assert "paywall.E015" in ids()


def test_another_browsers_buyer(payment):
    assert Buyer().get("/item/").status_code == 402
