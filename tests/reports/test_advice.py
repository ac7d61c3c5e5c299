"""What an owner is told of a payment: sentences, and what to do."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from paywall import ledger
from paywall.exceptions import Code
from paywall.models import Payment, Receipt
from paywall.reports import advice
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(db):
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    return client


def came_to(item, state: str, *, delivered: bool = True, code: str = "nothing_moved") -> Payment:
    payment, _ = claim(item)
    if state == "failed":
        ledger.failed(payment, code)
        return payment
    ledger.settling([payment], 0, "default")
    if state == "settling":
        return payment
    ledger.settled([payment], BLOCK.reference)
    if delivered:
        ledger.delivered(payment)
    if state == "lost":
        ledger.lost(payment, code)
    elif state == "confirmed":
        ledger.confirmed([([payment], BLOCK)])
    return payment


@pytest.mark.parametrize(
    ("state", "code", "what", "todo"),
    [
        ("lost", "nothing_moved", "moved no money to you", "Look at the transaction"),
        ("lost", "dispute_lost", "bank took the money back", "The bank has decided"),
        ("failed", "view_failed", "Your page failed", "Nothing to do"),
        ("settling", "", "Nobody knows yet", "Do not ask the buyer to pay again"),
    ],
)
def test_it_says_what_is_wrong_and_what_to_do(item, state, code, what, todo):
    found = advice.about(came_to(item, state, code=code))
    assert what in found.what
    assert todo in found.todo


def test_what_is_well_needs_no_words(item):
    assert advice.about(came_to(item, "confirmed")) is None


def test_what_was_not_collected(item):
    assert "come back and collect" in advice.about(came_to(item, "settled", delivered=False)).todo


@pytest.mark.parametrize("code", [c for c in Code if c != Code.CONFLICT])
def test_no_code_is_shown_as_such(code):
    assert code not in advice.why(code)
    assert advice.why(code).endswith(".")


def test_what_is_not_ours_stands_as_it_came():
    assert advice.why("generic_decline") == "generic_decline"


def test_the_pages_say_so(item, owner):
    came_to(item, "lost")
    receipt = Receipt.objects.get()
    page = owner.get(f"/dashboard/receipts/{receipt.pk}/").content.decode()
    before, _, details = page.partition("Technical details")
    assert "The transaction that was named moved no money to you." in before
    assert "nothing_moved" not in before
    assert "nothing_moved" in details
    assert " UTC" in page  # times have their zone
    page = owner.get(f"/admin/paywall/payment/{receipt.payment_id}/change/").content.decode()
    assert "Look at the transaction" in page


def test_a_refund_is_told_in_money(item):
    payment = came_to(item, "confirmed")
    assert advice.told(payment, {"amount": "4000"}) == "0.004 USDC."
