"""The arrows, the lock, and who holds a payment."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from paywall import durable, ledger, signals
from paywall.catalog import offers
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.models import AccessPass, Payment, Receipt
from paywall.models.payments import State
from tests.doubles import TX
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db

MOVES = {
    State.SETTLING: lambda payment: ledger.settling([payment], 10, "default"),
    State.SETTLED: lambda payment: ledger.settled([payment], TX),
    State.FAILED: lambda payment: ledger.failed(payment, "some_code", "why"),
    State.CONFIRMED: lambda payment: ledger.confirmed([([payment], BLOCK)]),
    State.LOST: lambda payment: ledger.lost(payment, "nothing_moved"),
}
ARROWS = {
    (State.CLAIMED, State.SETTLING),
    (State.CLAIMED, State.FAILED),
    (State.SETTLING, State.SETTLED),
    (State.SETTLING, State.FAILED),
    (State.SETTLED, State.CONFIRMED),
    (State.SETTLED, State.LOST),
    (State.CONFIRMED, State.LOST),
}
WAYS = {
    State.CLAIMED: [],
    State.SETTLING: [State.SETTLING],
    State.SETTLED: [State.SETTLING, State.SETTLED],
    State.CONFIRMED: [State.SETTLING, State.SETTLED, State.CONFIRMED],
    State.FAILED: [State.FAILED],
    State.LOST: [State.SETTLING, State.SETTLED, State.LOST],
}


@pytest.fixture
def payment(item):
    payment, is_new = claim(item)
    assert is_new
    return payment


def brought_to(payment, state):
    for step in WAYS[state]:
        MOVES[step](payment)
    return payment


def let_lapse(payment):
    Payment.objects.filter(pk=payment.pk).update(held_until=timezone.now())


def kinds(payment):
    return [event.kind for event in payment.events.all()]


@pytest.mark.parametrize(("origin", "target"), list(itertools.product(State, MOVES)))
def test_states_move_only_along_the_arrows(payment, origin, target):
    brought_to(payment, origin)
    events = payment.events.count()
    if (origin, target) in ARROWS:
        MOVES[target](payment)
        assert Payment.objects.get().state == target
        assert kinds(payment)[-1] == target
    else:
        with pytest.raises(StaleMove):
            MOVES[target](payment)
        assert Payment.objects.get().state == origin
        assert payment.events.count() == events


def test_every_move_has_its_event(payment):
    brought_to(payment, State.CONFIRMED)
    assert kinds(payment) == ["settling", "settled", "confirmed"]
    payment.refresh_from_db()
    assert payment.story[0][1] == "claimed"
    settled = payment.events.get(kind="settled")
    assert settled.data == {"reference": TX}


def test_an_authorization_is_claimed_once(item, payment):
    again, is_new = claim(item)
    assert not is_new
    assert again == payment
    assert Payment.objects.count() == 1


def test_a_claim_keeps_what_was_offered(item, payment):
    kept = Payment.objects.get()
    assert kept.taken_offer == offers.load("item").offers[0]
    assert kept.authorized == "10000"
    assert kept.url == "http://testserver/item/"


def test_who_holds_a_payment_keeps_others_away(payment):
    other = Payment.objects.get()
    assert ledger.take_up(other, 60) is None
    let_lapse(payment)
    taken = ledger.take_up(other, 60)
    assert taken is not None
    assert taken.attempts == 2
    assert ledger.take_up(other, 60) is None


def test_a_payment_can_be_taken_from_its_holder(payment):
    taken = ledger.take_up(Payment.objects.get(), 60, though_held=True)
    assert taken is not None
    with pytest.raises(StaleMove):
        ledger.settling([payment], 10, "default")
    assert ledger.take_up(Payment.objects.get(), 60) is None


def test_who_was_too_late_cannot_move_it_any_more(payment):
    """A worker that slept through its time must not settle what another took over."""
    let_lapse(payment)
    ledger.take_up(payment, 60)
    for move in [*MOVES.values(), ledger.delivered, lambda p: ledger.hold(p, 60)]:
        with pytest.raises(StaleMove):
            move(payment)
    ledger.let_go(payment)
    assert Payment.objects.get().held_until > timezone.now()


@pytest.mark.parametrize(
    ("origin", "state"),
    [
        (State.SETTLED, State.SETTLING),
        (State.CONFIRMED, State.SETTLED),
        (State.CONFIRMED, State.SETTLING),
    ],
)
def test_what_the_chain_takes_back_goes_back(payment, origin, state):
    brought_to(payment, origin)
    ledger.taken_back(payment, state, "reorganised")
    payment.refresh_from_db()
    assert (payment.state, payment.position, payment.confirmed_at) == (state, None, None)
    assert kinds(payment)[-1] == state


def test_what_was_settled_once_is_lost_not_failed(payment):
    brought_to(payment, State.SETTLED)
    ledger.taken_back(payment, State.SETTLING, "reorganised")
    ledger.failed(payment, "never_settled")
    payment.refresh_from_db()
    assert payment.state == State.LOST


def test_a_receipt_keeps_its_number_when_it_is_confirmed_again(payment, item):
    brought_to(payment, State.CONFIRMED)
    ledger.taken_back(payment, State.SETTLED, "reorganised")
    other, _ = claim(item, "two")
    brought_to(other, State.CONFIRMED)
    MOVES[State.CONFIRMED](payment)
    numbers = Receipt.objects.order_by("pk").values_list("number", flat=True)
    assert list(numbers) == [1, 2]


def test_a_delivery_happens_once(payment):
    brought_to(payment, State.SETTLED)
    ledger.delivered(payment)
    with pytest.raises(StaleMove):
        ledger.delivered(payment)
    assert payment.story[-1][1] == "delivered"


@pytest.mark.parametrize("state", [State.CLAIMED, State.SETTLING, State.FAILED, State.LOST])
def test_nothing_is_delivered_that_is_not_settled(payment, state):
    brought_to(payment, state)
    with pytest.raises(StaleMove):
        ledger.delivered(payment)


def test_a_settled_payment_has_a_receipt(payment):
    brought_to(payment, State.SETTLED)
    receipt = Receipt.objects.get()
    assert receipt.payment == payment
    assert receipt.number is None
    assert receipt.sold["title"] == "Item"
    assert receipt.sold["price"] == "0.01"


def test_numbers_for_the_books_are_consecutive_and_come_with_confirmation(item):
    payments = [claim(item, str(n))[0] for n in range(4)]
    for payment in payments:
        brought_to(payment, State.SETTLED)
    for payment in (payments[2], payments[0], payments[3]):
        ledger.confirmed([([payment], BLOCK)])
    numbers = [Receipt.objects.get(payment=payment).number for payment in payments]
    assert numbers == [2, None, 1, 3]


def test_a_lost_payment_takes_its_pass_with_it(make_resource):

    item = make_resource(access="forever")
    payment, _ = claim(item)
    brought_to(payment, State.SETTLED)
    ledger.grant_pass(payment, offers.load("item").pass_seconds, "h" * 64)
    ledger.lost(payment, "nothing_moved")
    assert AccessPass.objects.get().revoked_at is not None


@pytest.mark.parametrize(
    ("state", "signal"),
    [
        (State.SETTLED, signals.payment_settled),
        (State.CONFIRMED, signals.payment_confirmed),
        (State.FAILED, signals.payment_failed),
        (State.LOST, signals.payment_lost),
    ],
)
def test_the_site_is_told(payment, state, signal, django_capture_on_commit_callbacks):
    told = []

    def listener(sender, payment, **_):
        told.append((sender, payment.pk, payment.state))

    def grumpy(**_):
        raise RuntimeError("not my day")

    signal.connect(grumpy)
    signal.connect(listener)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            brought_to(payment, state)
    finally:
        signal.disconnect(listener)
        signal.disconnect(grumpy)
    assert told == [(Payment, payment.pk, state)]


def test_the_log_names_the_payment(payment, caplog):
    with caplog.at_level("INFO", "paywall"):
        brought_to(payment, State.LOST)
    lines = [record.getMessage() for record in caplog.records]
    assert f"payment={payment.pk} settled -> lost (nothing_moved)" in lines
    assert caplog.records[-1].levelname == "ERROR"
    assert caplog.records[-1].payment == payment.pk


def test_a_note_moves_nothing_but_keeps_a_first_transaction(payment):
    brought_to(payment, State.SETTLING)
    ledger.note(payment, "unknown", reference=TX, reason="no answer")
    ledger.note(payment, "asked again", reference="0x" + "cd" * 32)
    kept = Payment.objects.get()
    assert (kept.state, kept.reference) == (State.SETTLING, TX)
    assert kinds(payment)[-2:] == ["unknown", "asked again"]


def test_the_engine_finds_what_is_due(payment):
    assert not Payment.objects.due().exists()  # it is held
    ledger.let_go(payment, due_in=60)
    assert not Payment.objects.due().exists()
    Payment.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert Payment.objects.due().get() == payment


def test_a_database_that_refuses_is_one_error(item, monkeypatch):
    from django.db import OperationalError

    def broken(*args, **kwargs):
        raise OperationalError("no space left on device")

    monkeypatch.setattr(durable, "insert", broken)
    with pytest.raises(LedgerUnavailable):
        claim(item)


def test_workers_pass_over_what_another_is_taking_up(item, payment):
    other, _ = claim(item, "two")
    let_lapse(payment)
    let_lapse(other)
    using = connections[durable.alias()]
    with CaptureQueriesContext(using) as queries:
        taken = ledger.take_up_some(Payment.objects.due(), 1, 60)
    assert [p.pk for p in taken] == [payment.pk]
    passes_over = any("SKIP LOCKED" in query["sql"] for query in queries.captured_queries)
    assert passes_over == using.features.has_select_for_update_skip_locked
    assert [p.pk for p in ledger.take_up_some(Payment.objects.due(), 5, 60)] == [other.pk]
    assert ledger.take_up_some(Payment.objects.due(), 5, 60) == []
