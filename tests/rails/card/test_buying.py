"""A person pays by card: the order, Stripe's page, and what tells of its money."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from paywall.models import AccessPass, Notice, Order, Payment, Price, Receipt
from paywall.models.payments import State
from paywall.rails.card import api, orders, webhooks
from paywall.settlement import worker
from tests.helpers import at_once, let_lapse

from .conftest import Buyer, tell

pytestmark = pytest.mark.django_db


def sessions(stripe) -> int:
    """How many Stripe was asked to make."""
    return len(
        [path for method, path, _ in stripe.asked if (method, path[-8:]) == ("POST", "sessions")]
    )


# ------------------------------------------------------------------------ On the page


def test_the_page_offers_it_and_asks_stripe_nothing(item, buyer, stripe):
    text = buyer.page().content.decode()
    assert '<section class="paywall-way" data-paywall-way="card"' in text
    assert "Pay $1.00 by card" in text
    assert "by card</li>" in text.replace(" <span", "</li>")
    assert stripe.asked == []
    assert not Order.objects.exists()


def test_a_program_is_told_of_no_card(item):
    challenge = Client().get("/item/")
    assert challenge.status_code == 402
    assert "PAYMENT-REQUIRED" not in challenge.headers


@pytest.mark.parametrize("price", ["0.49", "0.001"])
def test_below_the_minimum_no_card_is_offered(item, buyer, account, price):
    Price.objects.create(resource=item, amount=Decimal(price))
    page = buyer.page()
    assert page.status_code == 402
    assert "data-paywall-way=card" not in page.content.decode().replace('"', "")


def test_without_a_key_no_card_is_offered(item, buyer, account, paywall_settings):
    paywall_settings(STRIPE={})
    assert 'data-paywall-way="card"' not in buyer.page().content.decode()
    assert buyer.post(
        "/paywall/pay/card/", headers={"Sec-Fetch-Site": "same-origin"}
    ).status_code in (
        400,
        404,
    )


def test_what_only_cards_could_pay_is_not_sold_without_a_key(item, buyer, paywall_settings):
    paywall_settings(STRIPE={})
    assert buyer.get("/item/").status_code == 503, "closed, not free"


def test_another_site_cannot_press_the_button(item, buyer, stripe):
    assert buyer.press(**{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert sessions(stripe) == 0


# ---------------------------------------------------------------------------- Paying


def test_it_is_paid_and_opens_the_page_to_its_buyer(item, buyer, stripe):
    order, session = buyer.orders()
    assert buyer.get("/item/").status_code == 402
    stripe.pay(session)
    returned = buyer.returns(order)
    assert (returned.status_code, returned["Location"]) == (302, "http://testserver/item/")
    assert buyer.get("/item/").status_code == 200
    assert Client().get("/item/").status_code == 402, "to nobody else"
    payment = Payment.objects.get()
    assert (payment.state, payment.rail, payment.network) == (
        State.CONFIRMED,
        "card",
        "stripe:test",
    )
    assert payment.reference.startswith("pi_")
    assert payment.evidence["session"] == session
    assert (payment.price, payment.captured, payment.fee) == (Decimal(1), "100", Decimal("0.33"))
    assert payment.delivered_at is not None
    assert Receipt.objects.get().number == 1
    assert Order.objects.get().state == "paid"


def test_what_stripe_is_told(item, buyer, stripe, till):
    till.terms = {**till.terms, "descriptor": "SLOW PRESS"}
    till.save()
    order, _ = buyer.orders()
    _, _, given = stripe.asked[-1]
    assert given["client_reference_id"] == order
    assert given["metadata"] == given["payment_intent_data"]["metadata"] == {"paywall_order": order}
    assert given["payment_intent_data"]["statement_descriptor_suffix"] == "SLOW PRESS"
    assert given["success_url"] == f"http://testserver/paywall/orders/{order}/returned/"
    assert given["cancel_url"] == "http://testserver/item/"
    assert given["line_items"][0]["price_data"] == {
        "currency": "usd",
        "unit_amount": "100",
        "product_data": {"name": "Item"},
    }


def test_without_javascript_a_page_leads_there(item, buyer, stripe):
    page = buyer.press(Accept="text/html")
    assert page.status_code == 200
    assert f'href="{stripe.url}/c/pay/cs_test' in page.content.decode()
    assert "no-store" in page["Cache-Control"]


def test_a_second_click_shows_the_same_order(item, buyer, stripe):
    assert buyer.orders() == buyer.orders()
    assert sessions(stripe) == 1


def test_at_another_price_it_is_another_order(item, buyer, stripe):
    first, _ = buyer.orders()
    Price.objects.create(resource=item, amount=Decimal("2.00"))
    second, session = buyer.orders()
    assert first != second
    stripe.pay(session)
    buyer.returns(second)
    assert Payment.objects.get().price == Decimal(2)


def test_who_pressed_and_paid_in_another_tab_is_let_in_by_a_second_press(item, buyer, stripe):
    order, session = buyer.orders()
    stripe.pay(session)
    told = buyer.press().json()
    assert (told["order"], told["goes_to"], told["paid"]) == (order, "", True)


def test_in_a_currency_without_cents(item, buyer, stripe, db):
    from paywall.rails.card.terms import account_for

    account_for("JPY", True, minimum="50").save()
    Price.objects.filter(resource=item).delete()
    Price.objects.create(resource=item, amount=Decimal(300), currency="JPY")
    order, session = buyer.orders()
    assert stripe.objects[session]["amount_total"] == 300
    stripe.pay(session)
    buyer.returns(order)
    assert (Payment.objects.get().price, Payment.objects.get().fee) == (Decimal(300), Decimal(39))


def test_what_is_sold_by_the_request_is_delivered_once(item, buyer, stripe):
    item.access = "request"
    item.save()
    order, session = buyer.orders()
    stripe.pay(session)
    buyer.returns(order)
    assert Payment.objects.get().delivered_at is None
    assert [buyer.get("/item/").status_code for _ in range(2)] == [200, 402]


# ------------------------------------------------------------- Whoever tells of it


def test_who_closes_the_window_is_let_in_by_the_webhook(item, buyer, stripe):
    _, session = buyer.orders()
    stripe.pay(session)
    assert tell(stripe.last("checkout.session.completed")).status_code == 200
    assert buyer.get("/item/").status_code == 200


@pytest.mark.parametrize("order_of_it", ["return first", "webhook first", "webhook twice"])
def test_in_any_order_and_any_number_of_times(item, buyer, stripe, order_of_it):
    order, session = buyer.orders()
    stripe.pay(session)
    event = stripe.last("checkout.session.completed")
    steps = {
        "return first": [buyer.returns, tell],
        "webhook first": [tell, buyer.returns],
        "webhook twice": [tell, tell, buyer.returns, tell],
    }
    for step in steps[order_of_it]:
        step(order if step == buyer.returns else event)
    assert (Payment.objects.count(), AccessPass.objects.count(), Receipt.objects.count()) == (
        1,
        1,
        1,
    )
    assert Order.objects.get().trouble == ""
    assert Notice.objects.get().done_at is not None


@pytest.mark.django_db(transaction=True)
def test_many_at_once_make_one_payment(item, buyer, stripe):
    order, session = buyer.orders()
    stripe.pay(session)
    event = stripe.last("checkout.session.completed")
    found: list[int] = []

    def one(number: int) -> None:
        if number % 2:
            found.append(tell({**event, "id": f"evt_{number}"}).status_code)
        else:
            browser = Buyer()
            browser.cookies = buyer.cookies
            found.append(browser.returns(order).status_code)
        connection.close()

    at_once([partial(one, number) for number in range(50)])
    assert len(found) == 50
    assert set(found) <= {200, 302, 503}
    assert (Payment.objects.count(), AccessPass.objects.count(), Receipt.objects.count()) == (
        1,
        1,
        1,
    )
    assert Order.objects.get().trouble == ""


def test_an_event_is_not_believed_but_asked_about(item, buyer, stripe):
    """Nobody pays by telling us of it, not even with the right signature."""
    _, session = buyer.orders()
    forged = {**stripe.objects[session], "payment_status": "paid", "status": "complete"}
    event = {"id": "evt_1", "type": "checkout.session.completed", "data": {"object": forged}}
    assert tell(event).status_code == 200
    assert not Payment.objects.exists()


@pytest.mark.parametrize(
    ("signed", "why"),
    [({"secret": "whsec_another"}, "another's"), ({"at": 1_700_000_000}, "old")],
)
def test_a_forged_or_old_one_is_refused(item, buyer, stripe, signed, why):
    _, session = buyer.orders()
    stripe.pay(session)
    assert tell(stripe.last("checkout.session.completed"), **signed).status_code == 400, why
    assert not Payment.objects.exists()
    assert not Notice.objects.exists()


@pytest.mark.parametrize("body", ["", "{", "[]", '{"id": 1}', '{"id":"e","type":"t","data":{}}'])
def test_what_is_no_event_is_refused(item, body):
    from tests.stripe_double import signature

    headers = {"Stripe-Signature": signature(body.encode())}
    response = Client().post(
        "/paywall/hooks/card/", body, content_type="application/json", headers=headers
    )
    assert response.status_code == 400


def test_without_a_secret_nothing_is_believed(item, stripe, paywall_settings):
    from tests import stripe_double

    paywall_settings(STRIPE={"API_KEY": stripe_double.KEY, "API_BASE": stripe.url})
    assert tell({"id": "e"}, secret="").status_code == 400


def test_what_could_not_be_done_is_told_again(item, buyer, stripe):
    _, session = buyer.orders()
    stripe.pay(session)
    event = stripe.last("checkout.session.completed")
    stripe.is_down = True
    assert tell(event).status_code == 503
    assert not Payment.objects.exists()
    stripe.is_down = False
    assert tell(event).status_code == 200
    assert Payment.objects.count() == 1


def test_an_event_of_another_shop_at_the_same_account(item, stripe):
    other = stripe.new("cs_test", "checkout.session", status="complete", payment_status="paid")
    other.update(payment_intent=None, client_reference_id=None)
    assert tell(stripe.happened("checkout.session.completed", other)).status_code == 200
    assert not Payment.objects.exists()


def test_an_event_about_nothing_is_done_with(item, stripe):
    event = stripe.happened("checkout.session.completed", {"id": "cs_gone"})
    assert tell(event).status_code == 200
    assert "resource_missing" in Notice.objects.get().trouble


@pytest.mark.slow  # more than Stripe lists at once
def test_after_an_outage_the_events_are_fetched(item, buyer, stripe, capsys):
    _, session = buyer.orders()
    stripe.pay(session)
    for _ in range(120):
        stripe.happened("refund.updated", {"id": "re_nobodys"})
    told = webhooks.catch_up(timezone.now() - timedelta(hours=1))
    assert told == {"done": 1, "not found": 120}
    assert buyer.get("/item/").status_code == 200
    call_command("paywall_stripe_events", since="1h")
    assert "121 done already" in capsys.readouterr().out


@pytest.mark.parametrize("since", ["", "soon", "40d", "2026-13-01", "2020-01-01T00:00"])
def test_a_time_that_the_command_does_not_take(stripe, since):
    with pytest.raises(CommandError, match="30"):
        call_command("paywall_stripe_events", since=since)


def test_stripe_is_away_when_the_command_asks(stripe):
    stripe.is_down = True
    with pytest.raises(CommandError, match="Nothing is lost"):
        call_command("paywall_stripe_events")


def test_old_notices_are_forgotten(item, stripe):
    tell(stripe.happened("refund.updated", {"id": "re_nobodys"}))
    assert webhooks.forget_old() == 0
    Notice.objects.update(received_at=timezone.now() - timedelta(days=91))
    assert webhooks.forget_old() == 1


# ----------------------------------------------------------------- Unknown outcomes


@pytest.mark.parametrize("how", ["silent_after", "broken"])
def test_a_session_that_nobody_answered_for_is_made_once(item, buyer, stripe, how):
    getattr(stripe, how).append("sessions")
    failed = buyer.press()
    assert (failed.status_code, sessions(stripe)) == (503, 1 if how == "silent_after" else 0)
    order, session = buyer.orders()
    assert Order.objects.count() == 1
    made = [o for o in stripe.objects.values() if o["object"] == "checkout.session"]
    assert [one["id"] for one in made] == [session], "the same key, so one session"
    stripe.pay(session)
    buyer.returns(order)
    assert buyer.get("/item/").status_code == 200


def test_the_package_itself_asks_again_and_makes_one(item, buyer, stripe, monkeypatch):
    monkeypatch.setattr(api, "RETRIES", 1)
    stripe.silent_after.append("sessions")
    _, session = buyer.orders()
    made = [o for o in stripe.objects.values() if o["object"] == "checkout.session"]
    assert [one["id"] for one in made] == [session]


def test_a_session_that_was_made_before_we_died_is_known_again(item, buyer, stripe):
    _, session = buyer.orders()
    Order.objects.update(reference=None)
    stripe.pay(session)
    assert tell(stripe.last("checkout.session.completed")).status_code == 200
    assert Order.objects.get().reference == session
    assert buyer.get("/item/").status_code == 200


def test_stripe_is_away_when_the_buyer_comes_back(item, buyer, stripe):
    order, session = buyer.orders()
    stripe.pay(session)
    stripe.is_down = True
    returned = buyer.returns(order)
    assert returned["Location"] == f"/paywall/orders/{order}/"
    page = buyer.page(f"/paywall/orders/{order}/")
    assert "Stripe has not told us of your payment yet" in page.content.decode()
    stripe.is_down = False
    assert "Your payment has arrived" in buyer.page(f"/paywall/orders/{order}/").content.decode()


def test_a_key_that_does_not_work_is_ours_to_mend(item, buyer, stripe, paywall_settings, caplog):
    paywall_settings(STRIPE={"API_KEY": "sk_test_wrong", "API_BASE": stripe.url})
    assert buyer.press().status_code == 503
    assert "does not take the key" in caplog.text
    assert "sk_test_wrong" not in caplog.text


# --------------------------------------------------------------------- Slow and never


def test_a_bank_that_takes_days(item, buyer, stripe):
    order, session = buyer.orders()
    stripe.pay(session, "tok_slow")
    returned = buyer.returns(order)
    assert returned["Location"] == f"/paywall/orders/{order}/"
    assert "You need not pay again" in buyer.page(returned["Location"]).content.decode()
    payment = Payment.objects.get()
    assert (payment.state, payment.delivered_at) == (State.SETTLING, None)
    assert buyer.get("/item/").status_code == 503, "nobody is asked to pay again"
    stripe.arrives(session)
    assert tell(stripe.last("checkout.session.async_payment_succeeded")).status_code == 200
    assert buyer.get("/item/").status_code == 200
    assert (Payment.objects.get().state, Order.objects.get().state) == (State.CONFIRMED, "paid")
    assert AccessPass.objects.count() == 1


def test_the_engine_finds_what_no_webhook_told(item, buyer, stripe):
    order, session = buyer.orders()
    stripe.pay(session, "tok_slow")
    buyer.returns(order)
    stripe.arrives(session)
    let_lapse()
    worker.sweep()
    assert Payment.objects.get().state == State.SETTLED
    assert buyer.get("/item/").status_code == 200, "collected"
    let_lapse()
    worker.confirm_payments()
    assert Payment.objects.get().state == State.CONFIRMED
    tell(stripe.last("checkout.session.async_payment_succeeded"))
    assert Order.objects.get().payment == Payment.objects.get()
    assert AccessPass.objects.count() == 1


@pytest.mark.parametrize("who", ["webhook", "engine"])
def test_a_bank_that_says_no_after_days(item, buyer, stripe, who):
    order, session = buyer.orders()
    stripe.pay(session, "tok_slow")
    buyer.returns(order)
    stripe.arrives(session, well=False)
    if who == "webhook":
        tell(stripe.last("checkout.session.async_payment_failed"))
    else:
        let_lapse()
        worker.sweep()
    assert Payment.objects.get().state == State.FAILED
    assert buyer.get("/item/").status_code == 402
    second, session = buyer.orders()
    stripe.pay(session)
    buyer.returns(second)
    assert buyer.get("/item/").status_code == 200


def test_who_leaves_pays_nothing(item, buyer, stripe):
    order, session = buyer.orders()
    stripe.expires(session)
    tell(stripe.last("checkout.session.expired"))
    Order.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    worker.sweep()
    assert Order.objects.get().state == "expired"
    assert "nothing was charged" in buyer.page(f"/paywall/orders/{order}/").content.decode()
    assert buyer.get("/item/").status_code == 402


def test_an_order_that_nobody_told_of_is_looked_up_at_its_end(item, buyer, stripe):
    """The window was closed, and the webhook was lost."""
    _, session = buyer.orders()
    stripe.pay(session)
    Order.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    worker.sweep()
    assert Order.objects.get().state == "late"
    assert buyer.get("/item/").status_code == 200


def test_while_stripe_is_away_no_order_ends(item, buyer, stripe):
    _, session = buyer.orders()
    stripe.pay(session)
    Order.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    stripe.is_down = True
    worker.sweep()
    assert Order.objects.get().state == "open"
    stripe.is_down = False
    worker.sweep()
    assert Order.objects.get().state == "late"


def test_an_order_of_another_browser_is_not_there(item, buyer, stripe):
    order, _ = buyer.orders()
    assert Buyer().returns(order).status_code == 404


def test_paid_in_another_currency_does_not_fit(item, buyer, stripe):
    _, session = buyer.orders()
    stripe.objects[session]["currency"] = "eur"
    stripe.pay(session)
    tell(stripe.last("checkout.session.completed"))
    assert "it is in eur" in Order.objects.get().trouble
    assert buyer.get("/item/").status_code == 402


def test_nothing_is_looked_up_for_orders_without_a_session(item, buyer, stripe):
    order = Order(public_id="x", rail="card", reference=None)
    orders.look(order)
    assert stripe.asked == []
