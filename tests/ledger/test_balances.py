"""Balances: never below zero, and always what their entries add up to."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import count

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.utils import timezone

from paywall import ledger
from paywall.catalog import offers
from paywall.exceptions import StaleMove, Unavailable
from paywall.ledger import balances
from paywall.ledger.balances import Whose
from paywall.models import AccessPass, Balance, BalanceEntry, Payment, Refund, Resource
from paywall.models.exposure import UNITS
from paywall.settlement import worker
from paywall.vocabulary import Claim, Paid
from tests.doubles import TX
from tests.helpers import at_once

pytestmark = pytest.mark.django_db

READER = Whose(None, "b" * 64)
DOLLAR = {"USD": Decimal("1.00")}


@pytest.fixture
def credit(make_resource) -> Resource:
    """Five dollars ahead."""
    return make_resource("credit", price="5.00", access="balance", policy="before")


@pytest.fixture
def top_up(credit) -> Callable[..., Payment]:
    """Somebody pays for it, and the money is final."""
    numbers = count()

    def pay(whose: Whose = READER) -> Payment:
        sale = offers.load("credit")
        purpose = ledger.Purpose(credit.pk, "GET", "http://testserver/x/", holder=whose.browser)
        made = Claim(f"top-up {next(numbers)}", sale.offers[0].amount, network="eip155:84532")
        payment, _ = ledger.claim(
            made, sale.offers[0], purpose, protocol="x402/2", user_id=whose.user_id, hold=0
        )
        ledger.settling([payment], 0, "")
        ledger.settled([payment], TX, made.amount)
        ledger.deliver(payment, sale, whose.browser)
        ledger.confirmed([([payment], Paid(TX, True, 1))])
        return Payment.objects.get(pk=payment.pk)

    return pay


@pytest.fixture
def article(make_resource) -> Resource:
    return make_resource("article", price="1.00")


def purpose(resource: Resource, url: str = "http://testserver/article/") -> ledger.Purpose:
    return ledger.Purpose(resource.pk, "GET", url, holder=READER.browser)


def spend(resource, url="http://testserver/article/", *, whose=READER, hold=0.0):
    by_request = resource.access == "request"
    return balances.spend(whose, DOLLAR, purpose(resource, url), by_request=by_request, hold=hold)


def has(whose: Whose = READER) -> Decimal:
    return sum((one.amount for one in balances.mine(whose)), Decimal(0))


def adds_up() -> bool:
    """Whether each balance is the sum of its entries."""
    for balance in Balance.objects.all():
        told = balance.entries.exclude(state="undone").aggregate(all=Sum("units"))["all"] or 0
        if balance.units != told or balance.units < 0:
            return False
    return True


# ------------------------------------------------------------------------- Topping up


def test_a_payment_tops_it_up_once(top_up):
    payment = top_up()
    assert has() == 5
    balances.top_up(payment, READER.browser)
    assert has() == 5
    assert not AccessPass.objects.exists()
    top_up()
    assert has() == 10
    assert adds_up()


def test_a_users_money_is_the_users_wherever_they_sign_in(top_up, django_user_model):
    user = django_user_model.objects.create_user("reader")
    top_up(Whose(user.pk, READER.browser))
    assert has() == 0
    assert has(Whose(user.pk, "")) == 5


def test_a_request_that_broke_off_after_the_money_was_there_is_made_good(credit, top_up):
    sale = offers.load("credit")
    offer = sale.offers[0]
    made = ledger.Purpose(credit.pk, "GET", "http://testserver/x/", holder=READER.browser)
    payment, _ = ledger.claim(Claim("x", offer.amount), offer, made, protocol="x402/2", hold=0)
    ledger.settling([payment], 0, "")
    ledger.settled([payment], TX, offer.amount)
    ledger.collect_top_ups("")
    assert has() == 0
    ledger.collect_top_ups(READER.browser)
    ledger.collect_top_ups(READER.browser)
    assert has() == 5
    assert Payment.objects.get().delivered_at is not None


def test_nothing_is_topped_up_on_credit(make_resource):
    with pytest.raises(IntegrityError), transaction.atomic():
        make_resource("later", access="balance", policy="background")


# --------------------------------------------------------------------------- Spending


def test_it_is_taken_and_used(top_up, article):
    top_up()
    entry = spend(article, hold=60)
    assert has() == 4
    balances.used(entry, "request", None)
    with pytest.raises(StaleMove):
        balances.used(entry, "request", None)
    assert not balances.given_back(entry)
    assert has() == 4
    assert adds_up()


def test_what_opened_nothing_is_back(top_up, article):
    top_up()
    entry = spend(article, hold=60)
    assert balances.given_back(entry)
    assert not balances.given_back(entry)
    assert has() == 5
    assert adds_up()
    with pytest.raises(StaleMove):
        balances.used(entry, "request", None)


def test_there_is_no_more_than_there_is(top_up, article):
    top_up()
    for number in range(5):
        assert spend(article, f"http://testserver/{number}/")
    assert spend(article, "http://testserver/6/") is None
    assert has() == 0
    assert adds_up()


def test_a_second_click_spends_nothing_more(top_up, article):
    top_up()
    first, second = spend(article), spend(article)
    assert first.pk == second.pk
    assert has() == 4
    assert spend(article, "http://testserver/other/").pk != first.pk, "another page is another"


def test_a_pass_is_bought_once(top_up, make_resource):
    top_up()
    issue = make_resource("issue", price="1.00", access="period", pass_seconds=60)
    entry = spend(issue, hold=60)
    with pytest.raises(Unavailable):
        spend(issue, hold=60)
    balances.used(entry, "period", 60)
    opened = AccessPass.objects.get()
    assert (opened.source, opened.holder, opened.payment) == ("balance", READER.browser, None)
    with pytest.raises(Unavailable):
        spend(issue, hold=60)
    AccessPass.objects.update(expires_at=timezone.now())
    assert spend(issue, hold=60), "and again when it is over"
    assert adds_up()


def test_what_nobody_opened_comes_back_by_itself(top_up, article):
    top_up()
    entry = spend(article)
    worker.sweep()
    assert has() == 4
    long_ago = timezone.now() - balances.TO_BE_OPENED_FOR - timedelta(seconds=1)
    BalanceEntry.objects.filter(pk=entry.pk).update(held_until=long_ago)
    worker.sweep()
    assert has() == 5
    assert adds_up()


def test_who_took_it_over_has_it(top_up, article):
    """The first request slept through its time."""
    top_up()
    slow = spend(article, hold=0)
    quick = balances.to_be_opened(READER.browser, article.pk, slow.url, 60)
    assert balances.to_be_opened(READER.browser, article.pk, slow.url, 60) is None
    assert not balances.given_back(slow)
    with pytest.raises(StaleMove):
        balances.used(slow, "request", None)
    balances.used(quick, "request", None)
    assert has() == 4


@pytest.mark.django_db(transaction=True)
def test_never_below_zero_with_fifty_at_once(top_up, article):
    top_up()
    spent = []

    def one(number: int) -> None:
        entry = spend(article, f"http://testserver/{number}/", hold=60)
        if entry is not None:
            spent.append(entry)

    at_once([partial(one, number) for number in range(50)])
    assert len(spent) == 5
    assert has() == 0
    assert adds_up()


@pytest.mark.django_db(transaction=True)
def test_fifty_clicks_on_one_page_spend_once(top_up, make_resource):
    top_up()
    issue, spent = make_resource("issue", price="1.00", access="forever"), []

    def click() -> None:
        with suppress(Unavailable):  # another click is at it
            entry = spend(issue)
            if entry is not None:
                spent.append(entry.pk)

    at_once([click] * 50)
    assert len(set(spent)) == 1
    assert has() == 4


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_it_adds_up(top_up, article, seed):
    chance, taken, paid = random.Random(seed), [], []
    for step in range(60):
        match chance.randrange(8):
            case 0:
                paid.append(top_up())
            case 1 | 2 | 3:
                entry = spend(article, f"http://testserver/{step}/", hold=60)
                taken += [entry] if entry else []
            case 4 if taken:
                balances.used(taken.pop(), "request", None)
            case 5 if taken:
                balances.given_back(taken.pop())
            case 6 if paid:
                balances.take_back(chance.choice(paid))
            case 7 if paid:
                balances.bring_back(chance.choice(paid))
        assert adds_up()


# ----------------------------------------------------------------------- Going back


def test_money_that_is_lost_takes_with_it_what_is_left(top_up, article):
    payment = top_up()
    for number in range(3):
        spend(article, f"http://testserver/{number}/", hold=60)
    ledger.lost(payment, "nothing_moved")
    assert has() == 0
    assert any(event.data.get("amount") == "3" for event in payment.events.all())
    assert adds_up()


def test_a_dispute_takes_it_back_and_winning_brings_it(top_up):
    payment = top_up()
    dispute = ledger.disputed(payment, "du_1", payment.atomic_amount, "fraudulent")
    assert has() == 0
    ledger.dispute_ended(dispute, won=True)
    assert has() == 5
    assert adds_up()


def test_a_refund_that_fails_after_the_money_is_gone_brings_nothing_back(top_up):
    payment = top_up()
    refund = Refund.objects.create(
        payment=payment, amount="2000000", reason="asked", is_ours_to_send=True
    )
    assert balances.refund(refund)
    assert has() == 3
    ledger.disputed(payment, "du_1", payment.atomic_amount, "fraudulent")
    assert has() == 0
    balances.refund_undone(refund)
    assert has() == 0
    balances.bring_back(payment)
    assert has() == 5
    assert adds_up()


def test_a_lost_dispute_takes_it_once(top_up):
    top_up()
    payment = top_up()
    dispute = ledger.disputed(payment, "du_1", payment.atomic_amount, "fraudulent")
    ledger.dispute_ended(dispute, won=False)
    assert has() == 5, "the other top-up's"
    assert adds_up()


# ------------------------------------------------------------------------- Its holder


def test_keeping_it_in_an_account_adds_it_to_the_accounts(top_up, article):
    user = get_user_model().objects.create_user("reader")
    payment = top_up()
    top_up(Whose(user.pk, ""))
    entry = spend(article, hold=60)
    ledger.adopt(READER.browser, user.pk)
    assert has() == 0
    assert has(Whose(user.pk, "")) == 9
    assert balances.given_back(entry)
    assert has(Whose(user.pk, READER.browser)) == 10
    ledger.lost(payment, "nothing_moved")
    assert has(Whose(user.pk, "")) == 5
    assert adds_up()


def test_a_browser_without_a_cookie_has_nothing(top_up):
    top_up(Whose(None, "c" * 64))
    assert balances.mine(Whose(None, "")) == []


def test_a_user_who_leaves_leaves_the_books_as_they_are(top_up):
    user = get_user_model().objects.create_user("reader")
    top_up(Whose(user.pk, ""))
    top_up(Whose(None, "c" * 64))
    user.delete()
    assert Balance.objects.filter(units=5 * UNITS).count() == 2
