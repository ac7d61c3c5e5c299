"""A stranger without money makes us do next to nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from paywall import ledger
from paywall.entry import verification
from paywall.holders import throttle
from paywall.models import Payment, PaymentEvent, Tally
from paywall.rails.evm import nodes
from paywall.rails.evm.rpc import NodeError
from paywall.reports import rollups
from paywall.settlement import worker
from paywall.testing import Buyer
from tests.doubles import Answer
from tests.helpers import Caller, claim, code
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["sync", "async"])
def get(request):
    return Caller(request.param)


@pytest.fixture(autouse=True)
def _asked(paywall_settings):
    paywall_settings(BALANCE_CHECK=True)
    verification._paid_before.clear()
    yield
    verification._paid_before.clear()


def buys(get: Any, buyer: Buyer, path: str = "/item/", **more: Any) -> Any:
    return get(path, headers=buyer.pays(get(path)), **more)


def test_without_a_node_the_facilitator_is_asked_before_the_view_runs(get, item, facilitator):
    poor = Buyer()
    facilitator.balances[poor.account.address] = 0
    response = buys(get, poor)
    assert (response.status_code, code(response)) == (402, "verification_failed")
    assert not CALLS
    assert not Payment.objects.exists()
    assert facilitator.asked("/settle") == []


def test_who_has_paid_here_is_not_asked_again(get, item, buyer, facilitator):
    for _ in range(3):
        assert buys(get, buyer).status_code == 200
        verification._paid_before.clear()
    assert len(facilitator.asked("/verify")) == 1
    buys(get, buyer)
    buys(get, buyer)
    assert len(facilitator.asked("/verify")) == 1


class Node:
    def __init__(self, units: Any) -> None:
        self.units = units

    def balance_of(self, token: str, owner: str) -> Any:
        if isinstance(self.units, Exception):
            raise self.units
        return self.units
        yield


@pytest.mark.parametrize(
    ("units", "status"), [(9_999, 402), (10_000, 200), (NodeError("away"), 200)]
)
def test_with_a_node_the_balance_is_looked_up(
    get, item, buyer, facilitator, monkeypatch, units, status
):
    monkeypatch.setattr(nodes, "of", lambda network: Node(units))
    response = buys(get, buyer)
    assert response.status_code == status
    assert facilitator.asked("/verify") == []
    if status == 402:
        assert code(response) == "insufficient_funds"
        assert not CALLS
        assert not Payment.objects.exists()


def test_a_network_of_strangers_without_money_is_not_looked_up_for_ever(
    item, facilitator, monkeypatch
):
    monkeypatch.setattr(throttle.POOR_PAYERS, "most", 5)
    get = Caller("sync")
    facilitator.verify = Answer(body={"isValid": False, "invalidReason": "insufficient_funds"})
    codes = [code(buys(get, Buyer())) for _ in range(8)]
    assert codes == ["verification_failed"] * 5 + ["too_many_requests"] * 3
    assert len(facilitator.asked("/verify")) == 5
    last = buys(get, Buyer())
    assert (last.status_code, last.headers["Retry-After"]) == (429, "3")
    assert "PAYMENT-REQUIRED" not in last.headers
    # Others, and those who have paid, are served.
    facilitator.verify = None
    assert buys(get, Buyer(), REMOTE_ADDR="9.9.9.9").status_code == 200
    Tally.objects.update(ends_at=timezone.now())
    assert buys(get, Buyer()).status_code == 200


@pytest.mark.parametrize(("credit_after", "total"), [(1, "100"), (0, "0")])
def test_where_there_is_no_credit_background_asks_too(
    get, make_resource, facilitator, paywall_settings, credit_after, total
):
    """It falls back to serving first and settling then: not for who has nothing."""
    paywall_settings(CREDIT_AFTER=credit_after, EXPOSURE_TOTAL=total)
    make_resource(policy="background")
    poor, rich = Buyer(), Buyer()
    facilitator.balances[poor.account.address] = 0
    assert code(buys(get, poor)) == "verification_failed"
    assert not CALLS
    assert not Payment.objects.exclude(state="failed").exists()
    assert buys(get, rich).status_code == 200


def test_before_needs_no_look_for_it_settles_first(get, make_resource, facilitator):
    make_resource(policy="before")
    poor = Buyer()
    facilitator.balances[poor.account.address] = 0
    assert code(buys(get, poor)) == "settlement_refused"
    assert not CALLS
    assert facilitator.asked("/verify") == []


def test_a_facilitator_that_is_away_sells_nothing_to_strangers(get, item, buyer, facilitator):
    facilitator.verify = Answer(500, {})
    response = buys(get, buyer)
    assert (response.status_code, code(response)) == (503, "facilitator_unavailable")
    assert not CALLS


# -------------------------------------------------------------------------------- Pruning


def old(identity: str, item: Any, **changes: Any) -> Payment:
    payment, _ = claim(item, identity)
    ledger.failed(payment, "abandoned")
    past = timezone.now() - timedelta(days=31)
    Payment.objects.filter(pk=payment.pk).update(
        **{"closed_at": past, "expires_at": past, **changes}
    )
    return payment


def test_what_came_to_nothing_goes_after_a_month(item):
    gone = old("old", item)
    now = timezone.now()
    kept = [
        old("young", item, closed_at=now),
        old("still valid", item, expires_at=now + timedelta(days=1)),
        old("with a transaction", item, reference="0x1"),
        old("delivered", item, on_credit=True, delivered_at=now),
        old("settled once", item, settled_at=now, reference="0x1"),
    ]
    claimed, _ = claim(item, "claimed")
    rollups.roll_up()  # the first round of a day
    assert set(Payment.objects.values_list("pk", flat=True)) == {
        *(payment.pk for payment in kept),
        claimed.pk,
    }
    assert not PaymentEvent.objects.filter(payment=gone.pk).exists()


def test_what_is_pruned_cannot_be_presented_again(item, buyer, facilitator):
    """Its row was the lock; what is left of it is that it has expired."""
    get = Caller("sync")
    paying = buyer.pays(Client().get("/failing/"))
    assert get("/failing/", headers=paying).status_code == 500
    Payment.objects.update(
        closed_at=timezone.now() - timedelta(days=31),
        expires_at=timezone.now() - timedelta(days=31),
    )
    assert worker.prune() == 1
    assert not Payment.objects.exists()
