"""What Stripe has booked and what the ledger says, both ways."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from paywall.models import Payment, Refund
from paywall.rails.card import reconciliation
from paywall.refunds import request
from paywall.settlement import worker

from .conftest import Buyer, tell

pytestmark = pytest.mark.django_db


def bought(stripe, number: int = 1) -> list[str]:
    sessions = []
    for _ in range(number):
        buyer = Buyer()
        order, session = buyer.orders()
        stripe.pay(session)
        buyer.returns(order)
        sessions.append(session)
    return sessions


def reconciled(code: int = 0, *options: str) -> dict[str, object]:
    out = StringIO()
    if code:
        with pytest.raises(SystemExit) as ended:
            call_command("paywall_reconcile", "--json", *options, stdout=out)
        assert ended.value.code == code
    else:
        call_command("paywall_reconcile", "--json", *options, stdout=out)
    (found,) = json.loads(out.getvalue())
    return dict(found)


def see_to_refunds() -> None:
    for _ in range(3):
        Refund.objects.update(due_at=timezone.now(), held_until=timezone.now())
        worker.see_to_refunds()


def test_they_agree_to_the_cent(item, stripe):
    bought(stripe, 3)
    request(Payment.objects.order_by("pk")[0], 40, "a part", seen=0)
    see_to_refunds()
    found = reconciled()
    assert found["agrees"] is True
    assert found["atStripe"] == found["inLedger"] == {"count": 3, "amount": "300"}
    assert found["fees"] == "99"
    assert found["refunds"] == {"count": 1, "amount": "40"}


def test_for_people(item, stripe, capsys):
    bought(stripe)
    call_command("paywall_reconcile")
    told = capsys.readouterr().out
    assert "Stripe and the ledger agree." in told
    assert "payments at Stripe" in told


def test_by_pages(item, stripe):
    bought(stripe, 2)
    payout = stripe.new("po", "payout")
    for _ in range(110):
        stripe.booked(-1, 0, "usd", payout["id"], "payout")
    assert reconciled()["agrees"] is True


def test_one_that_stripe_does_not_have(item, stripe):
    bought(stripe)
    stripe.objects = {
        k: o for k, o in stripe.objects.items() if o["object"] != "balance_transaction"
    }
    found = reconciled(1)
    assert [one["payment"] for one in found["missing"]] == [Payment.objects.get().pk]


def test_one_of_another_amount(item, stripe):
    bought(stripe)
    for found in stripe.objects.values():
        if found["object"] == "balance_transaction":
            found["amount"] = 90
    assert len(reconciled(1)["extra"]) == 1


def test_a_refund_that_nobody_told_us_of(item, stripe):
    bought(stripe)
    reference = Payment.objects.get().reference
    stripe.call("POST", "/v1/refunds", {"payment_intent": reference, "amount": "25"})
    assert len(reconciled(1)["refundsExtra"]) == 1
    tell(stripe.last("charge.refunded"))
    see_to_refunds()
    assert reconciled()["agrees"] is True


def test_one_that_nobody_told_us_of(item, stripe):
    _, session = Buyer().orders()
    stripe.pay(session)
    assert len(reconciled(1)["owed"]) == 1
    tell(stripe.last("checkout.session.completed"))
    assert reconciled()["agrees"] is True


def test_other_money_of_the_same_account(item, stripe):
    bought(stripe)
    charge = stripe.new("ch", "charge", payment_intent=None, amount=700)
    stripe.booked(700, 50, "usd", charge["id"], "charge")
    assert [one["amount"] for one in reconciled()["unmatched"]] == [700]
    reconciled(1, "--strict")


def test_what_a_dispute_took_is_no_difference(item, stripe):
    (session,) = bought(stripe)
    dispute = stripe.dispute(session)
    stripe.decides(dispute, "lost")
    tell(stripe.last("charge.dispute.closed"))
    found = reconciled()
    assert (found["agrees"], found["disputed"]) == (True, 1)


def test_stripe_is_away(item, stripe):
    bought(stripe)
    stripe.is_down = True
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("paywall_reconcile")


def test_without_a_key_there_is_nothing_to_compare(item, stripe, paywall_settings):
    paywall_settings(STRIPE={})
    assert reconciliation.reconcile(None, lambda done, total: None) == []
