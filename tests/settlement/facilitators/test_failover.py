"""Several facilitators: their order, their health, and never two for one unknown outcome."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from paywall.models import Account, FacilitatorHealth, Payment
from paywall.models.payments import State
from paywall.settlement import worker
from paywall.settlement.facilitators import health
from tests import doubles
from tests.doubles import TX, Answer, failure, success
from tests.helpers import code, let_lapse

pytestmark = pytest.mark.django_db


@pytest.fixture
def second():
    with doubles.facilitator() as double:
        yield double


@pytest.fixture
def both(item, facilitator, second, paywall_settings):
    """Two facilitators, the first of which each test spoils."""
    health._Known.until, health._Known.failing = 0.0, {}
    paywall_settings(
        FACILITATOR_URL="",
        FACILITATORS={"first": {"URL": facilitator.url}, "second": {"URL": second.url}},
    )
    return facilitator, second


def buy(buyer):
    client = Client()
    return client.get("/item/", headers=buyer.pays(client.get("/item/")))


def forget_what_was_read() -> None:
    health._Known.until = 0.0


NOT_SENT = [Answer(401, {}), Answer(429, {}), Answer(404, {}), Answer(302, {})]
UNKNOWN = [Answer(die=True), Answer(500, {}), Answer(body=b"?"), failure("settlement_pending", TX)]


def test_the_first_is_asked(both, buyer):
    first, second = both
    assert buy(buyer).status_code == 200
    assert (len(first.asked("/settle")), len(second.asked("/settle"))) == (1, 0)
    assert Payment.objects.get().facilitator == "first"
    assert not FacilitatorHealth.objects.exists()


@pytest.mark.parametrize("answer", NOT_SENT)
def test_the_next_is_asked_where_the_first_sent_nothing(both, buyer, answer):
    first, second = both
    first.settle = answer
    assert buy(buyer).status_code == 200
    assert len(second.asked("/settle")) == 1
    payment = Payment.objects.get()
    assert (payment.state, payment.facilitator) == (State.SETTLED, "second")
    assert "asks another" in [event.kind for event in payment.events.all()]


@pytest.mark.parametrize("answer", UNKNOWN)
def test_nobody_else_is_asked_while_an_outcome_is_unknown(both, buyer, answer):
    first, second = both
    first.settle = answer
    assert code(buy(buyer)) == "settlement_pending"
    for _ in range(3):
        let_lapse()
        worker.sweep()
    assert second.requests == []
    first.settle = success()
    let_lapse()
    assert worker.sweep() == {"settled": 1}
    assert second.requests == []


def test_a_refusal_is_not_taken_elsewhere(both, buyer):
    first, second = both
    first.settle = failure("insufficient_funds")
    assert buy(buyer).status_code == 402
    assert second.requests == []


def test_who_fails_again_and_again_is_avoided_for_a_while(both, buyer, caplog):
    first = both[0]
    first.settle = Answer(429, {})
    for _ in range(health.FAILURES):
        buy(buyer)
    asked = len(first.asked("/settle"))
    forget_what_was_read()
    assert buy(buyer).status_code == 200
    assert len(first.asked("/settle")) == asked
    assert "The facilitator first fails" in caplog.text
    # After a while one payment tries it again; it works, and is the first once more.
    FacilitatorHealth.objects.update(avoided_until=timezone.now())
    first.settle = success()
    forget_what_was_read()
    buy(buyer)
    assert len(first.asked("/settle")) == asked + 1
    assert FacilitatorHealth.objects.get(name="first").failures == 0


def test_when_all_are_avoided_they_are_asked_all_the_same(both, buyer):
    for double in both:
        double.settle = Answer(429, {})
    for _ in range(health.FAILURES + 1):
        assert code(buy(buyer)) == "facilitator_unavailable"
    both[1].settle = success()
    forget_what_was_read()
    assert buy(buyer).status_code == 200


def test_an_account_chooses(both, buyer):
    first, second = both
    Account.objects.update(facilitators="second, first")
    assert buy(buyer).status_code == 200
    assert (len(first.requests), len(second.asked("/settle"))) == (0, 1)


def test_a_facilitator_that_is_gone_from_the_settings_leaves_it_unknown(
    both, buyer, paywall_settings
):
    first, second = both
    first.settle = Answer(die=True)
    buy(buyer)
    paywall_settings(FACILITATORS={"second": {"URL": second.url}})
    let_lapse()
    assert worker.sweep() == {"unknown": 1}
    assert second.requests == []


def test_the_desk_knows_the_names(both, account):
    from django.core.exceptions import ValidationError

    account.facilitators = "second"
    account.full_clean()
    account.facilitators = "second, third"
    with pytest.raises(ValidationError, match="third"):
        account.full_clean()
