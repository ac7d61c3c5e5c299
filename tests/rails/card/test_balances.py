"""Cards for what costs less than a card takes: paid ahead, spent by the page, and refunded."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from paywall.ledger import balances, receipts
from paywall.models import (
    Alert,
    Balance,
    BalanceEntry,
    Dispute,
    Order,
    Payment,
    Price,
    Refund,
    Resource,
)
from paywall.refunds import RefundRefused, request, request_rest
from paywall.reports import alerts
from paywall.settlement import refunds, worker
from tests.shop.views import CALLS

from .conftest import Buyer, tell

pytestmark = pytest.mark.django_db

ADD = "/paywall/balance/add/ten/"


@pytest.fixture
def ten(till) -> Resource:
    """Ten articles."""
    resource = Resource.objects.create(
        slug="ten", title="Ten articles", access="balance", policy="before"
    )
    Price.objects.create(resource=resource, amount=Decimal("1.00"))
    return resource


@pytest.fixture
def cheap(till) -> Resource:
    """Ten cents: a card would cost three times that."""
    resource = Resource.objects.create(slug="item", title="Item", access="request")
    Price.objects.create(resource=resource, amount=Decimal("0.10"))
    return resource


@pytest.fixture
def topped_up(ten, cheap, buyer, stripe) -> Payment:
    order, session = buyer.orders(ADD)
    stripe.pay(session)
    buyer.returns(order)
    return Payment.objects.get()


def spends(buyer: Buyer) -> int:
    """The button on the page, and what the page answers then."""
    text = buyer.page().content.decode().partition('data-paywall-way="balance"')[2]
    ticket = text.partition('name="ticket" value="')[2].partition('"')[0]
    headers = {"Sec-Fetch-Site": "same-origin"}
    pressed = buyer.post("/paywall/balance/spend/", {"ticket": ticket}, headers=headers)
    if pressed.status_code != 302:
        return pressed.status_code
    return buyer.get(pressed["Location"].removeprefix("http://testserver")).status_code


def left() -> Decimal:
    return Balance.objects.get().amount


def test_too_little_for_a_card_is_sold_by_a_bundle(cheap, ten, buyer):
    page = buyer.page()
    text = page.content.decode()
    assert page.status_code == 402
    assert "$0.10" in text
    assert 'data-paywall-way="card"' not in text
    assert "Ten articles · $1.00" in text
    assert f"{ADD}?next=%2Fitem%2F" in text
    assert CALLS["item"] == 0


def test_without_a_bundle_nobody_could_pay_and_nothing_is_given_away(cheap, buyer):
    assert buyer.page().status_code == 503
    assert CALLS["item"] == 0


def test_a_bundle_alone_makes_it_payable_by_card(cheap, till, buyer, stripe):
    day = Resource.objects.create(slug="day", title="A day", access="period", pass_seconds=86_400)
    Price.objects.create(resource=day, amount=Decimal("2.00"))
    cheap.bundle = day
    cheap.save()
    page = buyer.page()
    assert page.status_code == 402
    assert "A day · $2.00" in page.content.decode()
    order, session = buyer.orders("/paywall/unlock/day/?next=/item/")
    stripe.pay(session)
    led = buyer.returns(order)
    led = buyer.get(led["Location"].removeprefix("http://testserver"), headers=buyer.PAGE)
    assert led["Location"] == "/item/"
    assert [buyer.get("/item/").status_code for _ in range(2)] == [200, 200]


def test_a_card_tops_it_up_and_a_click_pays(cheap, ten, buyer, stripe):
    order, session = buyer.orders(f"{ADD}?next=/item/")
    stripe.pay(session)
    returned = buyer.returns(order)
    assert returned["Location"] == "/paywall/balance/?next=%2Fitem%2F"
    shown = buyer.get(returned["Location"]).content.decode()
    assert "$1.00" in shown
    assert 'href="/item/"' in shown
    assert "Pay $0.10 from your balance" in buyer.page().content.decode()
    assert [spends(buyer) for _ in range(2)] == [200, 200]
    assert (left(), CALLS["item"]) == (Decimal("0.80"), 2)
    assert buyer.page().status_code == 402, "each is for one reading"
    assert Client().get("/item/").status_code == 402


def test_the_webhook_alone_tops_it_up(cheap, ten, buyer, stripe):
    _, session = buyer.orders(ADD)
    stripe.pay(session)
    for event in stripe.events:
        assert tell(event).status_code == 200
        assert tell(event).status_code == 200, "and told of again it changes nothing"
    assert left() == 1
    assert spends(buyer) == 200


def test_a_card_that_was_declined_tops_up_nothing(cheap, ten, buyer):
    order, _ = buyer.orders(ADD)
    assert buyer.returns(order)["Location"] == f"/paywall/orders/{order}/"
    assert not Balance.objects.exists()
    assert buyer.get(ADD).status_code == 402


def test_when_it_is_used_up_the_page_offers_to_top_it_up(topped_up, buyer):
    assert [spends(buyer) for _ in range(10)] == [200] * 10
    assert left() == 0
    text = buyer.page().content.decode()
    assert "from your balance" not in text
    assert "Ten articles · $1.00" in text


# ---------------------------------------------------------------------- Going back


def test_a_refund_comes_off_and_never_more_than_is_there(topped_up, buyer):
    assert [spends(buyer) for _ in range(4)] == [200] * 4
    with pytest.raises(RefundRefused, match="spent it"):
        request(topped_up, 61, "all", seen=0)
    assert not Refund.objects.exists()
    assert Payment.objects.get().refunded == "0"
    refund = request(topped_up, 40, "some", seen=0)
    assert left() == Decimal("0.20")
    refunds.call_off(refund)
    assert left() == Decimal("0.60")


def test_the_rest_goes_back_by_the_payments_that_brought_it(topped_up, buyer, stripe):
    order, session = buyer.orders(ADD)
    stripe.pay(session)
    buyer.returns(order)
    second = Order.objects.get(public_id=order).payment
    assert [spends(buyer) for _ in range(3)] == [200] * 3
    asked = buyer.post("/paywall/balance/back/")
    assert asked.status_code == 302
    assert "You have asked for the rest back" in buyer.get("/paywall/balance/").content.decode()
    made, rest = request_rest(Balance.objects.get(), "asked for")
    assert [(one.payment, one.amount) for one in made] == [(second, "100"), (topped_up, "70")]
    assert (rest, left()) == (Decimal(0), Decimal(0))
    for _ in range(3):
        Refund.objects.update(due_at=timezone.now(), held_until=timezone.now())
        worker.see_to_refunds()
    assert set(Refund.objects.values_list("state", flat=True)) == {"confirmed"}
    assert "asked for the rest" not in buyer.get("/paywall/balance/").content.decode()


def test_the_desk_is_told_and_gives_it_back(topped_up, buyer, paywall_settings):
    spends(buyer)
    buyer.post("/paywall/balance/back/")
    paywall_settings(ALERT_EMAILS=["owner@example.com"])
    alerts.tell()
    alerts.tell()
    assert "its holder asks for 0.90 USD back" in Alert.objects.get(kind="askedback").title
    owner = Client()
    owner.force_login(get_user_model().objects.create_superuser("owner"))
    listed = reverse("admin:paywall_balance_changelist")
    assert "0.90 USD" in owner.get(f"{listed}?asked_back=yes").content.decode()
    chosen = {"action": "refund_rest", "_selected_action": [Balance.objects.get().pk]}
    asked = owner.post(listed, chosen).content.decode()
    assert "0.90 USD" in asked
    assert not Refund.objects.exists(), "it asks first"
    owner.post(listed, {**chosen, "reason": "asked for"})
    refund = Refund.objects.get()
    assert (refund.amount, refund.reason) == ("90", "asked for")
    assert left() == 0
    assert "0.90 USD" not in owner.get(f"{listed}?asked_back=yes").content.decode()
    entries = owner.get(reverse("admin:paywall_balanceentry_changelist")).content.decode()
    assert "-0.10 USD" in entries


def test_a_dispute_takes_back_what_is_left_and_winning_brings_it(topped_up, buyer, stripe):
    assert spends(buyer) == 200
    dispute = stripe.dispute(Order.objects.get().reference)
    tell(stripe.last("charge.dispute.created"))
    assert left() == 0
    assert spends(buyer) != 200
    stripe.decides(dispute, "won")
    tell(stripe.last("charge.dispute.closed"))
    assert left() == Decimal("0.90")
    assert Dispute.objects.get().state == "won"
    kinds = BalanceEntry.objects.order_by("pk").values_list("kind", "state")
    assert list(kinds) == [("topup", "done"), ("spent", "done"), ("taken", "undone")]


# ------------------------------------------------------------------------- Its own page


def test_the_statement_names_all_that_became_of_it(topped_up, buyer):
    spends(buyer)
    text = buyer.get("/paywall/balance/").content.decode()
    assert "$0.90" in text
    assert "-$0.10" in text.replace("\u2212", "-")
    assert "Item" in text
    bought = buyer.get("/paywall/purchases/").content.decode()
    assert "Your balance" in bought
    receipt = receipts.path(topped_up)
    assert f'href="{receipt}"' in bought
    assert f'href="{receipt}"' in text


def test_a_stranger_sees_nothing_of_it(topped_up):
    text = Client().get("/paywall/balance/").content.decode()
    assert "Nothing is on your balance yet." in text
    assert balances.mine(balances.Whose(None, "")) == []


@pytest.mark.parametrize(
    "where", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"]
)
def test_it_leads_to_no_other_site(topped_up, buyer, where):
    text = buyer.get("/paywall/balance/", {"next": where}).content.decode()
    assert "evil" not in text
    assert "alert" not in text
