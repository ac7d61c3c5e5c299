"""Policy `background`: content first, within limits, and the money soon after."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from paywall import ledger
from paywall.entry import verification
from paywall.exceptions import Code
from paywall.ledger import exposure
from paywall.models import AccessPass, Alert, CreditLoss, Exposure, Payment, Receipt
from paywall.models.payments import State
from paywall.rails.evm import nodes
from paywall.reports import alerts
from paywall.settlement import worker
from paywall.testing import Buyer, outcome_of
from tests.doubles import TX, Answer, failure, success
from tests.helpers import BLOCK, Caller, Died, code, dies, let_lapse
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["sync", "async"])
def get(request):
    return Caller(request.param)


@pytest.fixture
def cheap(make_resource):
    return make_resource(policy="background", price="0.30")


def owed() -> dict[str, Decimal]:
    """Exposure that is not zero: of the payer, and of all."""
    rows = Exposure.objects.exclude(units=0)
    return {"all" if row.scope == "all USD" else "payer": row.amount for row in rows}


def buys(get: Any, buyer: Buyer, path: str = "/item/") -> Any:
    return get(path, headers=buyer.pays(get(path)))


def on_credit() -> list[bool]:
    return list(Payment.objects.order_by("pk").values_list("on_credit", flat=True))


def test_it_is_served_at_once_and_says_that_it_is_pending(get, cheap, buyer, facilitator):
    paying = buyer.pays(get())
    response = get(headers=paying)
    assert response.status_code == 200
    assert response.json()["sold"] == "item"
    assert facilitator.requests == []
    payment = Payment.objects.get()
    assert (payment.state, payment.on_credit) == (State.CLAIMED, True)
    assert payment.delivered_at is not None
    outcome = outcome_of(response)
    assert (outcome["success"], outcome["transaction"]) == (True, "")
    assert outcome["extra"] == {"settlement": "pending"}
    assert owed() == {"payer": Decimal("0.3"), "all": Decimal("0.3")}
    receipt = response.headers["Link"].split(">")[0][1:]
    assert Client().get(receipt).json()["payment"]["state"] == "claimed"
    assert code(get(headers=paying)) == "payment_already_used"

    let_lapse()
    assert worker.settle() == {"settled": 1}

    payment.refresh_from_db()
    assert (payment.state, payment.reference) == (State.SETTLED, TX)
    assert owed() == {}
    assert Client().get(receipt).json()["payment"]["state"] == "settled"
    assert Receipt.objects.count() == 1
    assert code(get(headers=paying)) == "payment_already_used"
    assert CALLS["item"] == 1
    assert len(facilitator.asked("/settle")) == 1
    assert worker.settle() == {}


def test_beyond_a_payers_limit_it_is_settled_in_line(get, cheap, buyer, facilitator):
    for _ in range(4):
        assert buys(get, buyer).status_code == 200
    assert on_credit() == [True, True, True, False]  # 1.00 at 0.30 each
    assert Payment.objects.get(on_credit=False).state == State.SETTLED
    assert owed()["payer"] == Decimal("0.9")
    let_lapse()
    worker.settle()
    buys(get, buyer)
    assert on_credit()[-1] is True


def test_beyond_the_limit_of_all_it_is_settled_in_line(get, cheap, facilitator, paywall_settings):
    paywall_settings(EXPOSURE_TOTAL="0.60")
    for _ in range(3):
        assert buys(get, Buyer()).status_code == 200
    assert on_credit() == [True, True, False]
    assert owed()["all"] == Decimal("0.6")


def test_so_many_a_minute(get, cheap, buyer, facilitator, paywall_settings):
    paywall_settings(EXPOSURE_PER_MINUTE=1)
    buys(get, buyer)
    let_lapse()
    worker.settle()
    buys(get, buyer)
    assert on_credit() == [True, False]


def test_a_limit_of_nothing_is_no_credit(get, cheap, buyer, facilitator, paywall_settings):
    paywall_settings(EXPOSURE_PER_PAYER="0")
    assert buys(get, buyer).status_code == 200
    assert on_credit() == [False]


def test_who_did_not_pay_settles_in_line_until_one_is_confirmed(get, cheap, buyer, facilitator):
    facilitator.settle = failure("insufficient_funds")
    buys(get, buyer)
    let_lapse()
    assert worker.settle() == {"failed": 1}
    assert buys(get, buyer).status_code == 402  # in line, and refused
    facilitator.settle = success()
    assert buys(get, buyer).status_code == 200
    assert on_credit() == [True, False, False]
    ledger.confirmed([([Payment.objects.latest("pk")], BLOCK)])
    buys(get, buyer)
    assert on_credit()[-1] is True
    buys(get, Buyer())
    assert on_credit()[-1] is True


def test_what_was_given_and_not_paid_is_an_error_in_the_log(get, cheap, buyer, facilitator, caplog):
    facilitator.settle = failure("insufficient_funds")
    buys(get, buyer)
    let_lapse()
    worker.settle()
    (record,) = [r for r in caplog.records if "failed" in r.getMessage()]
    assert record.levelname == "ERROR"


def test_a_pass_that_was_not_paid_closes(make_resource, buyer, facilitator):
    make_resource(policy="background", access="forever")
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    assert client.get("/item/").status_code == 200
    facilitator.settle = failure("insufficient_funds")
    let_lapse()
    worker.settle()
    assert AccessPass.objects.get().revoked_at is not None
    assert client.get("/item/").status_code == 402


def test_a_view_that_fails_costs_nobody_anything(get, cheap, buyer, facilitator):
    get("/failing/", headers=buyer.pays(get("/failing/")))
    assert Payment.objects.get().state == State.FAILED
    assert owed() == {}
    buys(get, buyer)
    assert on_credit() == [True, True]


def test_an_unknown_outcome_stays_owed_until_it_is_known(get, cheap, buyer, facilitator):
    facilitator.settle = [Answer(die=True), success()]
    buys(get, buyer)
    let_lapse()
    assert worker.settle() == {"settling": 1}
    assert owed()["all"] == Decimal("0.3")
    let_lapse()
    assert worker.sweep() == {"settled": 1}
    assert owed() == {}


@pytest.mark.parametrize("trouble", [Answer(401, {}), None])
def test_our_own_trouble_does_not_let_the_payment_go(
    get, cheap, buyer, facilitator, paywall_settings, trouble
):
    """The content is out, so the facilitator is asked until it settles."""
    buys(get, buyer)
    url = facilitator.url
    if trouble is None:
        paywall_settings(FACILITATOR_URL="")
    else:
        facilitator.settle = trouble
    let_lapse()
    worker.settle()
    assert Payment.objects.get().state in (State.CLAIMED, State.SETTLING)
    assert owed()["all"] == Decimal("0.3")
    paywall_settings(FACILITATOR_URL=url)
    facilitator.settle = success()
    let_lapse()
    worker.settle()
    worker.sweep()
    assert Payment.objects.get().state == State.SETTLED
    assert owed() == {}


def test_a_request_that_broke_off_is_taken_over_on_the_same_credit(
    get, cheap, buyer, facilitator, monkeypatch
):
    from paywall.entry import gate

    paying = buyer.pays(get())
    with monkeypatch.context() as patch:
        patch.setattr(gate, "_deliver", dies)
        with pytest.raises(Died):
            get(headers=paying)
    assert worker.settle() == {}  # it was not delivered: not to be charged
    let_lapse()
    assert get(headers=paying).status_code == 200
    assert owed()["all"] == Decimal("0.3")


def test_a_request_that_broke_off_and_did_not_come_back_owes_nothing(
    get, cheap, buyer, facilitator, monkeypatch
):
    from paywall.entry import gate

    with monkeypatch.context() as patch:
        patch.setattr(gate, "_deliver", dies)
        with pytest.raises(Died):
            buys(get, buyer)
    let_lapse()
    assert worker.settle() == {}
    assert worker.sweep() == {"failed": 1}
    assert owed() == {}
    assert facilitator.requests == []


@pytest.mark.django_db(transaction=True)
def test_no_crowd_gets_past_the_limits(cheap, facilitator, paywall_settings):
    """Twenty at once, five on credit: the sum is kept by the database, not by luck."""
    paywall_settings(EXPOSURE_TOTAL="1.50", EXPOSURE_PER_PAYER="1.50")
    buyer = Buyer()
    challenge = Client().get("/item/")
    headers = [buyer.pays(challenge) for _ in range(20)]

    def buy(header: dict[str, str]) -> int:
        try:
            return int(Client().get("/item/", headers=header).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(buy, headers))
    assert statuses == [200] * 20
    assert Payment.objects.filter(on_credit=True).count() == 5
    assert len(facilitator.asked("/settle")) == 15
    assert owed()["all"] == Decimal("1.5")
    Payment.objects.update(held_until=timezone.now(), due_at=timezone.now())
    assert worker.settle() == {"settled": 5}
    assert owed() == {}


def test_the_limits_are_settings(paywall_settings):
    from django.core.exceptions import ImproperlyConfigured

    from paywall import conf

    assert conf.read({"EXPOSURE_TOTAL": "2.50"}).exposure_total == Decimal("2.50")
    for nonsense in ("much", 1.5, -1, None, "NaN"):
        with pytest.raises(ImproperlyConfigured, match=r"EXPOSURE_TOTAL.* an amount"):
            conf.read({"EXPOSURE_TOTAL": nonsense})
    with pytest.raises(ImproperlyConfigured, match=r"BALANCE_CHECK.* True or False"):
        conf.read({"BALANCE_CHECK": "yes"})


def test_the_owner_sees_what_is_owed(get, cheap, buyer, facilitator, admin_client):
    buys(get, buyer)
    page = admin_client.get("/admin/paywall/exposure/").content.decode()
    assert "all USD" in page
    assert "0.30" in page
    assert "100.00" in page
    assert json.loads(get("/item/").content)["code"] == "payment_required"


# ---------------------------------------------------------------------- What may be lost


def lose_all(facilitator: Any) -> None:
    """Nothing that is on credit can be settled."""
    facilitator.settle = failure("insufficient_funds")
    let_lapse()
    worker.settle()
    facilitator.settle = None


@pytest.mark.slow
def test_losses_of_a_day_never_exceed_the_limit_however_many_wallets(
    get, cheap, facilitator, paywall_settings
):
    """Empty wallets, each new: what they read for nothing is bounded by the limit, not by time."""
    paywall_settings(EXPOSURE_TOTAL="1.00")
    for _ in range(4):
        for _ in range(5):
            buys(get, Buyer())
        lose_all(facilitator)
    lost = Payment.objects.filter(on_credit=True, state=State.FAILED)
    assert sum(payment.price for payment in lost) == Decimal("0.90")
    assert owed()["all"] == Decimal("0.90")
    # A day later there is room again.
    CreditLoss.objects.update(at=timezone.now() - timedelta(days=1, seconds=1))
    assert exposure.forgive() == 3
    assert owed() == {}
    buys(get, Buyer())
    assert on_credit()[-1] is True


def test_a_payers_losses_count_for_a_day(cheap, buyer, facilitator, paywall_settings):
    paywall_settings(EXPOSURE_PER_PAYER="0.60")
    get = Caller("sync")
    buys(get, buyer)
    lose_all(facilitator)
    Exposure.objects.update(out_of_favour=False)
    buys(get, buyer)
    buys(get, buyer)
    assert on_credit() == [True, True, False]


def test_a_view_that_fails_is_no_loss(make_resource, buyer, facilitator):
    make_resource(policy="background")
    get = Caller("sync")
    buys(get, buyer, "/failing/")
    assert not CreditLoss.objects.exists()
    assert owed() == {}


def test_what_was_settled_and_is_lost_counts_too(cheap, buyer, facilitator):
    get = Caller("sync")
    buys(get, buyer)
    let_lapse()
    worker.settle()
    assert owed() == {}
    ledger.lost(Payment.objects.get(), "nothing_moved")
    assert owed() == {"payer": Decimal("0.3"), "all": Decimal("0.3")}
    assert CreditLoss.objects.get().units == 30_000_000


def test_at_half_of_the_limit_the_owner_is_told(cheap, facilitator, paywall_settings):
    paywall_settings(EXPOSURE_TOTAL="0.60", ALERT_EMAILS=["owner@example.com"])
    alerts.tell()
    assert not Alert.objects.filter(kind="credit").exists()
    buys(Caller("sync"), Buyer())
    lose_all(facilitator)
    alerts.tell()
    alerts.tell()
    alert = Alert.objects.get(kind="credit")
    assert "0.30 USD were lost on credit" in alert.title


def test_credit_is_for_who_has_paid_here(get, cheap, buyer, facilitator, paywall_settings):
    paywall_settings(CREDIT_AFTER=1)
    assert buys(get, buyer).status_code == 200
    assert on_credit() == [False]
    buys(get, buyer)
    assert on_credit() == [False, False]  # settled is not confirmed
    ledger.confirmed([([Payment.objects.latest("pk")], BLOCK)])
    buys(get, buyer)
    buys(get, Buyer())
    assert on_credit() == [False, False, True, False]


def test_what_could_not_be_settled_in_time_is_no_credit(get, cheap, buyer, facilitator):
    """Later than a settle call and half a minute from now, or it is settled in line."""
    for seconds, credited in ((30, False), (39, False), (60, True)):
        challenge = get()
        ends = str(int(timezone.now().timestamp()) + seconds)
        assert get(headers=buyer.pays(challenge, validBefore=ends)).status_code == 200
        assert on_credit()[-1] is credited, seconds


@pytest.mark.parametrize("seconds", [-2, -1, 0, 3, 6])
def test_what_has_expired_is_never_forgiven(get, cheap, facilitator, seconds):
    for _ in range(3):
        paying = Buyer().pays(get(), validBefore=str(int(timezone.now().timestamp()) + seconds))
        response = get(headers=paying)
        assert (response.status_code, code(response)) == (402, Code.EXPIRED)
    assert owed() == {}
    assert CALLS["item"] == 0


class Chain:
    """What a node would say of wallets; the rest of it is not asked."""

    def __init__(self, units: int, has_code: bool = False) -> None:
        self.units, self.code, self.asked = units, has_code, 0

    def has_code(self, address: str) -> Any:
        self.asked += 1  # how often for credit: whether strangers have the money never asks this
        return self.code
        yield

    def balance_of(self, token: str, owner: str) -> Any:
        return self.units
        yield


@pytest.fixture
def chain(monkeypatch, paywall_settings):
    paywall_settings(BALANCE_CHECK=True)
    verification._balances.clear()
    verification._paid_before.clear()
    found = Chain(300_000)
    monkeypatch.setattr(nodes, "of", lambda network: found)
    yield found
    verification._balances.clear()


def test_what_a_payer_owes_is_held_against_its_balance(get, cheap, buyer, facilitator, chain):
    """A balance of one price buys one on credit, not as many as one asks for at once."""
    for _ in range(4):
        buys(get, buyer)
    assert on_credit() == [True, False, False, False]
    assert chain.asked == 1


def test_contract_wallets_have_no_credit(get, cheap, buyer, facilitator, chain):
    chain.code = True
    buys(get, buyer)
    assert on_credit() == [False]
