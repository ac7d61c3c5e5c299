"""A way in: what was paid ahead, by a header or by a click."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client, RequestFactory

from paywall.catalog import offers
from paywall.effects import run
from paywall.entry import inline
from paywall.models import AccessPass, Audience, Balance, BalanceEntry, Price
from paywall.settlement import worker
from paywall.testing import challenge_of
from tests.helpers import code
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db

ADD = "/paywall/balance/add/credit/"
PAYS = {"Paywall-Pay": "balance"}
PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def credit(make_resource):
    return make_resource("credit", price="0.03", access="balance", policy="before")


@pytest.fixture
def program(credit, item, buyer, facilitator) -> Client:
    """A program with a cookie jar, which has paid three cents ahead."""
    program = Client()
    paid = program.get(ADD, headers=buyer.pays(program.get(ADD)))
    assert paid.status_code == 200
    assert paid.json()["topped_up"] == "credit"
    return program


def left() -> Decimal:
    return Balance.objects.get().amount


# ------------------------------------------------------------------------- By a header


def test_a_program_pays_from_what_it_paid_ahead(program, item):
    first = program.get("/item/", headers=PAYS)
    assert (first.status_code, first.json()["sold"]) == (200, "item")
    assert first.headers["Paywall-Balance"] == "0.02 USD"
    assert "private" in first.headers["Cache-Control"]
    assert program.get("/item/").status_code == 402, "nothing is spent that it did not ask for"
    assert [program.get("/item/", headers=PAYS).status_code for _ in range(3)] == [200, 200, 402]
    assert (left(), CALLS["item"]) == (Decimal(0), 3)


def test_when_there_is_not_enough_it_is_told_so_with_the_offers(program, item):
    Price.objects.create(resource=item, amount=Decimal("0.04"))
    refused = program.get("/item/", headers=PAYS)
    assert (refused.status_code, code(refused)) == (402, "balance_too_low")
    assert challenge_of(refused)["accepts"]
    assert refused.json()["retry"] == "other_method"
    assert left() == Decimal("0.03")


def test_a_stranger_has_none(program):
    refused = Client().get("/item/", headers=PAYS)
    assert (refused.status_code, code(refused)) == (402, "balance_too_low")


def test_what_brings_a_payment_is_paid_by_it(program, buyer, facilitator):
    paying = buyer.pays(program.get("/item/"))
    assert program.get("/item/", headers={**PAYS, **paying}).status_code == 200
    assert left() == Decimal("0.03")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_spends_nothing(program, site):
    assert program.get("/item/", headers={**PAYS, "Sec-Fetch-Site": site}).status_code == 402
    assert left() == Decimal("0.03")


@pytest.mark.parametrize("method", ["head", "options"])
def test_a_question_costs_nothing(program, method):
    assert getattr(program, method)("/item/", headers=PAYS).status_code == 402
    assert left() == Decimal("0.03")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("path", ["/failing/", "/failing/?status=304", "/raising/"])
def test_what_delivers_nothing_costs_nothing(program, path, kind):
    if kind == "sync":
        program.raise_request_exception = False
        assert program.get(path, headers=PAYS).status_code != 402
    else:
        asks = AsyncClient(raise_request_exception=False)
        asks.cookies = program.cookies
        path = path.replace("/raising/", "/async-raising/")
        assert async_to_sync(asks.get)(path, headers=PAYS).status_code != 402
    assert left() == Decimal("0.03")
    assert BalanceEntry.objects.get(kind="spent").state == "undone"


def test_it_buys_a_pass_too(program, make_resource):
    make_resource("issue", price="0.02", access="forever")
    assert program.get("/by-object/issue/", headers=PAYS).status_code == 200
    assert program.get("/by-object/issue/", headers=PAYS).status_code == 200
    assert program.get("/by-object/issue/").status_code == 200
    assert left() == Decimal("0.01")
    assert Client().get("/by-object/issue/").status_code == 402
    assert AccessPass.objects.get().source == "balance"


def test_a_signed_in_user_needs_no_cookie_of_ours(credit, item, buyer, facilitator):
    user = get_user_model().objects.create_user("reader")
    here, there = Client(), Client()
    here.force_login(user)
    there.force_login(user)
    assert here.get(ADD, headers=buyer.pays(here.get(ADD))).status_code == 200
    assert Balance.objects.get().user == user
    assert there.get("/item/", headers=PAYS).status_code == 200
    assert left() == Decimal("0.02")


def test_the_cheapest_price_of_who_asks_is_taken(program, item):
    everyone = Audience.objects.create(name="all", kind="everyone")
    Price.objects.create(resource=item, amount=Decimal("0.005"), audience=everyone)
    offers.forget()
    assert program.get("/item/", headers=PAYS).headers["Paywall-Balance"] == "0.025 USD"


def test_it_pays_for_what_is_asked_for_and_not_for_its_parts(program, make_resource):
    make_resource("part", price="0.02", access="forever")
    cookies = "; ".join(f"{name}={one.value}" for name, one in program.cookies.items())
    request = RequestFactory().get("/", headers={**PAYS, "Cookie": cookies})
    setattr(request, inline.MARKS, [])
    assert not run(inline.let_in(request, offers.get("part")))
    assert left() == Decimal("0.03")


def test_a_balance_is_not_topped_up_from_itself(program):
    assert program.get(ADD, headers=PAYS).status_code == 402
    assert left() == Decimal("0.03")


def test_the_same_payment_tops_up_once(credit, item, buyer, facilitator):
    program = Client()
    paying = buyer.pays(program.get(ADD))
    assert program.get(ADD, headers=paying).status_code == 200
    assert program.get(ADD, headers=paying).status_code == 409
    assert left() == Decimal("0.03")


# -------------------------------------------------------------------------- By a click


def press(reader: Client, path: str = "/item/", **headers: str) -> Any:
    text = reader.get(path, headers=PERSON).content.decode()
    form = text.partition('data-paywall-way="balance"')[2]
    ticket = form.partition('name="ticket" value="')[2].partition('"')[0]
    sent = {"Sec-Fetch-Site": "same-origin", **headers}
    return reader.post("/paywall/balance/spend/", {"ticket": ticket}, headers=sent)


def test_a_click_pays_and_leads_to_the_page(program):
    pressed = press(program)
    assert (pressed.status_code, pressed["Location"]) == (302, "http://testserver/item/")
    assert (left(), CALLS["item"]) == (Decimal("0.02"), 0)
    assert program.get("/item/", headers=PERSON).status_code == 200
    assert program.get("/item/", headers=PERSON).status_code == 402
    assert (left(), CALLS["item"]) == (Decimal("0.02"), 1)


def test_two_clicks_pay_once(program):
    press(program)
    # The page that was open in another tab.
    assert program.get("/item/", headers=PERSON).status_code == 200
    assert left() == Decimal("0.02")


def test_a_fetch_ahead_uses_nothing_up(program):
    press(program)
    ahead = {**PERSON, "Sec-Purpose": "prefetch"}
    assert program.get("/item/", headers=ahead).status_code == 402
    assert program.get("/item/", headers=PERSON).status_code == 200


def test_another_sites_link_does_not_use_it_up(program):
    press(program)
    led = program.get("/item/", headers={**PERSON, "Sec-Fetch-Site": "cross-site"})
    assert led.status_code == 403
    assert program.get("/item/", headers=PERSON).status_code == 200


def test_it_opens_the_page_that_was_paid_and_no_other(program):
    press(program)
    assert program.get("/item/?other=1", headers=PERSON).status_code == 402
    assert program.get("/item/", headers=PERSON).status_code == 200


def test_another_site_cannot_click(program):
    assert press(program, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert left() == Decimal("0.03")


def test_a_forged_ticket_buys_nothing(program):
    headers = {"Sec-Fetch-Site": "same-origin"}
    sent = program.post("/paywall/balance/spend/", {"ticket": "x"}, headers=headers)
    assert sent.status_code == 400
    assert left() == Decimal("0.03")


def test_a_page_that_fails_after_the_click_gives_it_back(program):
    press(program)
    assert program.get("/item/", headers=PERSON).status_code == 200
    pressed = press(program, "/failing/")
    assert pressed.status_code == 302
    assert left() == Decimal("0.01")
    assert program.get("/failing/", headers=PERSON).status_code == 500
    assert left() == Decimal("0.02")


def test_what_was_clicked_and_not_opened_comes_back(program):
    press(program)
    BalanceEntry.objects.filter(kind="spent").update(held_until="2026-01-01T00:00Z")
    worker.sweep()
    assert left() == Decimal("0.03")
    assert program.get("/item/", headers=PERSON).status_code == 402


def test_keeping_it_in_an_account(program):
    user = get_user_model().objects.create_user("reader")
    program.force_login(user)
    assert "Keep in my account" in program.get("/paywall/purchases/").content.decode()
    program.post("/paywall/purchases/adopt/")
    assert Balance.objects.get().user == user
    assert program.get("/item/", headers=PAYS).status_code == 200
