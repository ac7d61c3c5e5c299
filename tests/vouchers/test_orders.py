"""Orders: started on a page, paid elsewhere, told of twice, late, or before the buyer returns."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from paywall import ledger
from paywall.catalog import offers
from paywall.holders.cookies import COOKIE
from paywall.models import AccessPass, Order, Payment, Receipt
from paywall.models.payments import State
from paywall.rails import registry
from paywall.settlement import worker
from tests.helpers import at_once, code, let_lapse
from tests.shop.views import CALLS

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urlconf("tests.vouchers.orders_urls"),
]


@pytest.fixture
def article(item):
    """Paid once, open for good."""
    item.access = "forever"
    item.save()
    return item


@pytest.fixture
def buyer(db) -> Client:
    return Client()


def ordered(buyer: Client, at: str = "/item/") -> str:
    return str(buyer.get("/order/item/", {"at": at}).json()["order"])


def tell(order: str, charge: str = "one", amount: int = 10, **more: Any) -> int:
    told = {"order": order, "charge": charge, "amount": amount, **more}
    response = Client().post("/hook/", json.dumps(told), content_type="application/json")
    assert response.status_code == 200
    return int(response.json()["payment"])


def test_it_opens_the_page_to_its_holder(article, buyer):
    order = ordered(buyer)
    assert buyer.get("/item/").status_code == 402
    tell(order)
    assert buyer.get("/item/").status_code == 200
    assert Client().get("/item/").status_code == 402, "to nobody else"
    payment = Payment.objects.get()
    assert (payment.state, payment.reference) == (State.CONFIRMED, "one")
    assert payment.evidence == {"event": "one"}
    assert payment.delivered_at is not None
    assert Receipt.objects.get().number == 1
    assert Order.objects.get().state == "paid"


def test_after_a_restart_too(article, buyer):
    """Nothing of it is in a process: another one knows the browser by its cookie."""
    tell(ordered(buyer))
    offers.forget()
    registry.all_.cache_clear()
    other = Client()
    other.cookies[COOKIE] = buyer.cookies[COOKIE].value
    assert other.get("/item/").status_code == 200


def test_a_webhook_that_comes_twice_makes_one_payment(article, buyer):
    order = ordered(buyer)
    assert tell(order) == tell(order)
    assert (Payment.objects.count(), AccessPass.objects.count()) == (1, 1)
    assert Order.objects.get().trouble == ""


def test_ten_that_come_at_once_make_one_payment(article, buyer):
    order = ordered(buyer)
    found: list[int] = []

    def one() -> None:
        found.append(tell(order))
        connection.close()

    at_once([one] * 10)
    assert len(found) == 10
    assert len(set(found)) == 1
    assert (Payment.objects.count(), AccessPass.objects.count()) == (1, 1)


def test_before_the_buyer_returns(article, buyer):
    """The browser closed its window; it is let in when it comes back, days later."""
    tell(ordered(buyer))
    Payment.objects.update(created_at=timezone.now() - timedelta(days=3))
    assert buyer.get("/item/").status_code == 200


def test_money_that_comes_late_is_taken(article, buyer):
    order = ordered(buyer)
    Order.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    worker.sweep()
    assert Order.objects.get().state == "expired"
    tell(order)
    assert Order.objects.get().state == "late"
    assert buyer.get("/item/").status_code == 200


def test_less_than_was_asked_is_a_row_and_opens_nothing(article, buyer):
    tell(ordered(buyer), amount=4)
    payment, order = Payment.objects.get(), Order.objects.get()
    assert (payment.captured, payment.price, payment.delivered_at) == ("4", Decimal("0.04"), None)
    assert (order.state, order.payment) == ("open", None)
    assert f"payment #{payment.pk} is less" in order.trouble
    assert buyer.get("/item/").status_code == 402


def test_money_that_comes_twice_is_a_row_and_delivers_nothing(article, buyer):
    order = ordered(buyer)
    tell(order, "one")
    second = tell(order, "two")
    assert Order.objects.get().payment.reference == "one"
    assert f"payment #{second} pays it once more" in Order.objects.get().trouble
    assert Payment.objects.get(pk=second).delivered_at is None
    assert AccessPass.objects.count() == 1


def test_what_is_not_final_is_settled_and_looked_for(article, buyer, issuer):
    tell(ordered(buyer), final=False)
    assert Payment.objects.get().state == State.SETTLED
    assert buyer.get("/item/").status_code == 200
    let_lapse()
    worker.confirm_payments()
    assert Payment.objects.get().state in (State.SETTLED, State.SETTLING, State.LOST)


# --------------------------------------------------------------------- By the request


def test_what_is_sold_by_the_request_is_delivered_once(item, buyer):
    tell(ordered(buyer))
    assert Payment.objects.get().delivered_at is None
    assert [buyer.get("/item/").status_code for _ in range(2)] == [200, 402]
    assert Payment.objects.get().delivered_at is not None
    assert not AccessPass.objects.exists()


def test_a_view_that_fails_leaves_it_to_be_collected(item, buyer):
    tell(ordered(buyer, at="/failing/"))
    assert buyer.get("/failing/").status_code == 500
    assert buyer.head("/failing/").status_code == 402
    assert buyer.get("/item/").status_code == 402, "it was paid for another URL"
    assert buyer.get("/failing/").status_code == 500
    assert Payment.objects.get().delivered_at is None


def test_of_many_at_once_one_has_it(item, buyer):
    tell(ordered(buyer))
    cookie, found = buyer.cookies[COOKIE].value, []

    def one() -> None:
        client = Client()
        client.cookies[COOKIE] = cookie
        response = client.get("/item/")
        found.append((response.status_code, response.status_code != 200 and code(response)))
        connection.close()

    at_once([one] * 8)
    assert [status for status, _ in found].count(200) == 1
    assert {why for status, why in found if status == 503} <= {"settlement_pending"}
    assert CALLS["item"] >= 1


# --------------------------------------------------------------------------- The rows


def test_only_the_ledger_writes_its_state(article, buyer):
    ordered(buyer)
    with pytest.raises(TypeError):
        Order.objects.update(state="paid")
    order = Order.objects.get()
    order.state = "paid"
    with pytest.raises(TypeError):
        order.save()


def test_orders_are_for_a_price_that_was_offered(article, buyer):
    order = Order.objects.get(public_id=ordered(buyer))
    assert (order.price, order.currency, order.rail) == (Decimal("0.1"), "USD", "voucher")
    assert order.taken_offer.amount == 10
    assert ledger.expire_orders() == 0
