"""What is charged by use: at most so much is allowed, and what was used is taken."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError
from django.test import Client

from paywall.decorators import payment_required
from paywall.discovery import listing
from paywall.entry.usage import Usage
from paywall.exceptions import UsageNotTold
from paywall.models import (
    Balance,
    BalanceEntry,
    Exposure,
    FacilitatorHealth,
    Payment,
    Receipt,
)
from paywall.models.payments import State
from paywall.reports import rollups
from paywall.settlement import refunds, worker
from paywall.testing import challenge_of, outcome_of
from tests.doubles import FACILITATOR, Answer, failure
from tests.helpers import Caller, code, let_lapse
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db


@pytest.fixture
def metered(make_resource):
    return make_resource("metered", "0.05", by_use=True)


@pytest.fixture(params=["sync", "async"])
def call(request):
    caller = Caller(request.param)

    def ask(path, **kwargs):
        return caller(
            path if request.param == "sync" else path.replace("/", "/async-", 1), **kwargs
        )

    return ask


def body_of(response):
    if not response.streaming:
        return response.content
    if response.is_async:
        from asgiref.sync import async_to_sync

        async def whole():
            return b"".join([part async for part in response.streaming_content])

        return async_to_sync(whole)()
    return response.getvalue()


def hang_up(response):
    """The server closes a response whose buyer has gone, as Django's test client does."""
    response._iterator.close()


def pays(call, buyer, path, **changes):
    return call(path, headers=buyer.pays(call(path), **changes))


def test_the_most_is_offered_and_who_may_settle(metered, facilitator):
    response = Client().get("/metered/")
    (offer,) = challenge_of(response)["accepts"]
    assert (offer["scheme"], offer["amount"]) == ("upto", "50000")
    assert offer["extra"] == {
        "name": "USDC",
        "version": "2",
        "assetTransferMethod": "permit2",
        "facilitatorAddress": FACILITATOR,
    }
    assert "accepts" not in json.loads(response.content)  # x402 v1 has no words for it
    assert "WWW-Authenticate" not in response.headers


def test_what_was_used_is_taken(metered, buyer, facilitator, call):
    response = pays(call, buyer, "/metered/?use=0.0100&use=0.0023")
    assert response.status_code == 200, response.content
    assert Decimal(json.loads(response.content)["left"]) == Decimal("0.0377")
    (asked,) = facilitator.asked("/settle")
    assert asked["paymentRequirements"]["amount"] == "12300"
    assert asked["paymentPayload"]["accepted"]["amount"] == "50000"
    assert outcome_of(response)["amount"] == "12300"
    payment = Payment.objects.get()
    assert (payment.authorized, payment.used, payment.captured) == ("50000", "12300", "12300")
    assert payment.price == Decimal("0.0123")
    assert payment.state == State.SETTLED
    receipt = Receipt.objects.get()
    assert receipt.sold["price"] == "0.0123"
    document = Client().get(f"/paywall/receipts/{receipt.public_id}/?format=json").json()
    assert (document["price"], document["payment"]["amount"]) == ("0.0123", "12300")
    assert refunds.remaining(payment) == 12_300


def test_nothing_used_settles_nothing(metered, buyer, facilitator, call):
    response = pays(call, buyer, "/metered/?use=0")
    assert response.status_code == 200
    assert facilitator.asked("/settle") == []
    assert outcome_of(response)["success"] is True
    assert outcome_of(response).get("amount") == "0"
    payment = Payment.objects.get()
    assert (payment.state, payment.captured, payment.reference) == (State.CONFIRMED, "0", "")
    assert payment.delivered_at is not None
    receipt = Receipt.objects.get()
    assert receipt.number == 1
    assert refunds.remaining(payment) == 0
    owner = Client()
    owner.force_login(get_user_model().objects.create_superuser("owner"))
    for page in (
        f"/dashboard/receipts/{receipt.pk}/",
        f"/admin/paywall/payment/{payment.pk}/change/",
        f"/paywall/receipts/{receipt.public_id}/",
    ):
        assert owner.get(page).status_code == 200, page
    assert worker.confirm_payments() == {}
    rollups.roll_up()
    assert owner.get("/dashboard/").status_code == 200


def test_never_more_than_was_allowed(metered, buyer, facilitator, call, caplog):
    response = pays(call, buyer, "/metered/?use=0.04&use=0.04")
    assert response.status_code == 200
    assert Decimal(json.loads(response.content)["left"]) == 0
    assert Payment.objects.get().captured == "50000"
    assert "may take 50000 at most" in caplog.text


def test_a_view_that_does_not_say_has_failed(metered, buyer, facilitator, call):
    with pytest.raises(UsageNotTold, match="charge"):
        pays(call, buyer, "/metered/")
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, "view_failed")
    assert facilitator.asked("/settle") == []


def test_a_view_that_fails_costs_nothing(metered, buyer, facilitator, call):
    response = pays(call, buyer, "/metered/?use=0.01&status=503")
    assert response.status_code == 503
    assert Payment.objects.get().state == State.FAILED
    assert facilitator.asked("/settle") == []


def test_part_of_a_unit_is_the_buyers(metered, buyer, facilitator, call):
    pays(call, buyer, "/metered/?use=0.0000019")
    assert Payment.objects.get().captured == "1"


# --------------------------------------------------------------------------------- Streams


def test_a_stream_is_made_before_it_is_taken_and_leaves_after(metered, buyer, facilitator, call):
    response = pays(call, buyer, "/stream/?n=3")
    assert outcome_of(response)["amount"] == "30000"
    assert Payment.objects.get().captured == "30000"
    assert body_of(response) == b"0 1 2 "


def test_a_stream_ends_where_the_most_is_reached(metered, buyer, facilitator, call):
    response = pays(call, buyer, "/stream/?n=99")
    assert body_of(response) == b"0 1 2 3 4 "
    assert Payment.objects.get().captured == "50000"


def test_a_stream_that_breaks_costs_nothing(metered, buyer, facilitator, call):
    with pytest.raises(RuntimeError, match="broke"):
        pays(call, buyer, "/stream/?n=2&broken")
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, "view_failed")
    assert facilitator.asked("/settle") == []


@pytest.fixture
def on_credit(metered, paywall_settings):
    paywall_settings(CREDIT_AFTER=0, BALANCE_CHECK=False)
    metered.policy = "background"
    metered.save()


def test_on_credit_what_was_used_is_owed(on_credit, buyer, facilitator, call):
    response = pays(call, buyer, "/metered/?use=0.0123")
    assert response.status_code == 200, response.content
    payment = Payment.objects.get()
    assert (payment.state, payment.on_credit, payment.used) == (State.CLAIMED, True, "12300")
    assert {row.amount for row in Exposure.objects.all()} == {Decimal("0.0123")}
    assert Receipt.objects.get().sold["price"] == "0.0123"
    assert worker.settle() == {"settled": 1}
    payment.refresh_from_db()
    assert (payment.captured, payment.price) == ("12300", Decimal("0.0123"))
    assert {row.amount for row in Exposure.objects.all()} == {Decimal(0)}


def test_on_credit_a_stream_goes_out_as_it_is_made(on_credit, buyer, facilitator, call):
    response = pays(call, buyer, "/stream/?n=3")
    assert "amount" not in outcome_of(response)
    payment = Payment.objects.get()
    assert (payment.state, payment.used) == (State.CLAIMED, "0")
    assert {row.amount for row in Exposure.objects.all()} == {Decimal("0.05")}
    assert worker.settle() == {}, "it is held while it goes out"
    assert body_of(response) == b"0 1 2 "
    payment.refresh_from_db()
    assert (payment.used, payment.price) == ("30000", Decimal("0.03"))
    assert {row.amount for row in Exposure.objects.all()} == {Decimal("0.03")}
    assert Receipt.objects.get().sold["price"] == "0.03"
    assert worker.settle() == {"settled": 1}
    payment.refresh_from_db()
    assert payment.captured == "30000"
    assert {row.amount for row in Exposure.objects.all()} == {Decimal(0)}


def test_who_hangs_up_pays_what_went_out(on_credit, buyer, facilitator):
    response = Client().get("/stream/?n=5", headers=buyer.pays(Client().get("/stream/?n=5")))
    parts = iter(response.streaming_content)
    assert [next(parts), next(parts)] == [b"0 ", b"1 "]
    hang_up(response)
    assert Payment.objects.get().used == "20000"
    assert worker.settle() == {"settled": 1}
    assert Payment.objects.get().captured == "20000"


def test_what_a_dead_process_wrote_last_is_taken(on_credit, buyer, facilitator, monkeypatch):
    monkeypatch.setattr("paywall.entry.streams.WRITTEN_EVERY", 0.0)
    response = Client().get("/stream/?n=5", headers=buyer.pays(Client().get("/stream/?n=5")))
    parts = iter(response.streaming_content)
    next(parts), next(parts)
    let_lapse()
    assert worker.settle() == {"settled": 1}
    payment = Payment.objects.get()
    assert (payment.captured, payment.price) == ("20000", Decimal("0.02"))
    assert {row.amount for row in Exposure.objects.all()} == {Decimal(0)}
    # Somebody else has it now: nothing more goes out.
    with pytest.raises(Exception, match="taken over"):
        next(parts)
    assert Payment.objects.get().captured == "20000"


def test_a_stream_ends_before_what_was_signed_does(on_credit, buyer, facilitator, monkeypatch):
    response = Client().get("/stream/?n=5", headers=buyer.pays(Client().get("/stream/?n=5")))
    monkeypatch.setattr("paywall.entry.streams.time.monotonic", lambda: 10.0**9)
    assert b"".join(response.streaming_content) == b"0 "


# ------------------------------------------------------------------- Outcomes, facilitators


def test_an_unknown_outcome_is_asked_again_for_the_same_amount(metered, buyer, facilitator):
    client = Client()
    facilitator.settle = Answer(die=True)
    paying = buyer.pays(client.get("/metered/?use=0.02"))
    assert code(client.get("/metered/?use=0.02", headers=paying)) == "settlement_pending"
    facilitator.settle = None
    let_lapse()
    again = client.get("/metered/?use=0.02", headers=paying)
    assert again.status_code == 200, again.content
    first, second = facilitator.asked("/settle")
    assert first == second
    assert Payment.objects.get().captured == "20000"
    assert CALLS["metered"] == 2


@pytest.mark.parametrize("amount", ["20001", "0", "-1", "20000.0"])
def test_a_facilitator_that_says_another_amount_proves_nothing(metered, buyer, facilitator, amount):
    from tests.doubles import success

    facilitator.settle = success(amount=amount)
    client = Client()
    response = client.get(
        "/metered/?use=0.02", headers=buyer.pays(client.get("/metered/?use=0.02"))
    )
    assert code(response) == "settlement_pending"
    assert Payment.objects.get().state == State.SETTLING


def test_a_refusal_costs_nothing(metered, buyer, facilitator):
    facilitator.settle = failure("permit2_insufficient_balance")
    client = Client()
    response = client.get(
        "/metered/?use=0.02", headers=buyer.pays(client.get("/metered/?use=0.02"))
    )
    assert response.status_code == 402
    assert Payment.objects.get().state == State.FAILED


@pytest.mark.parametrize(
    "change",
    [
        {"spender": "0x402085c248EeA27D92E8b30b2C58ed07f9E20001"},
        {"witness": {"to": FACILITATOR, "facilitator": FACILITATOR, "validAfter": "0"}},
        {"permitted": {"token": FACILITATOR, "amount": "50000"}},
    ],
)
def test_what_is_signed_otherwise_is_refused_here(metered, buyer, facilitator, change):
    facilitator.verify = Answer(body={"isValid": True})
    response = pays(Client().get, buyer, "/metered/?use=0.02", **change)
    assert response.status_code == 402
    assert facilitator.asked("/verify") == []
    assert not Payment.objects.exists()


def test_what_is_signed_for_another_facilitator_is_refused(metered, buyer, facilitator):
    to = challenge_of(Client().get("/metered/"))["accepts"][0]["payTo"]
    witness = {"to": to, "facilitator": to, "validAfter": "0"}
    response = pays(Client().get, buyer, "/metered/?use=0.02", witness=witness)
    assert response.status_code == 402
    assert not Payment.objects.exists()


def test_where_nobody_settles_by_use_it_is_not_sold(metered, facilitator, caplog):
    facilitator.supported = Answer(body={"kinds": []})
    assert Client().get("/metered/").status_code == 503
    assert "no facilitator is known that settles so" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [Answer(500), Answer(body=[]), Answer(body={"kinds": [{"scheme": "upto"}]}), Answer(die=True)],
)
def test_a_facilitator_that_talks_nonsense_is_asked_again_later(metered, facilitator, answer):
    facilitator.supported = answer
    assert Client().get("/metered/").status_code == 503
    assert Client().get("/metered/").status_code == 503
    assert len(facilitator.asked("/supported")) == 1
    FacilitatorHealth.objects.update(asked_at=None)
    facilitator.supported = None
    assert Client().get("/metered/").status_code == 402


def test_what_a_facilitator_can_do_is_asked_once_an_hour(metered, facilitator):
    Client().get("/metered/")
    worker.sweep()
    assert len(facilitator.asked("/supported")) == 1
    FacilitatorHealth.objects.update(asked_at="2020-01-01T00:00:00Z")
    worker.sweep()
    assert len(facilitator.asked("/supported")) == 2


def test_an_address_that_it_had_before_is_still_its_own(metered, buyer, facilitator):
    client = Client()
    paying = buyer.pays(client.get("/metered/?use=0.02"))
    facilitator.settle = Answer(die=True)
    assert code(client.get("/metered/?use=0.02", headers=paying)) == "settlement_pending"
    other = {"facilitatorAddress": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}
    kind = {"x402Version": 2, "scheme": "upto", "network": "eip155:84532", "extra": other}
    facilitator.supported = Answer(body={"kinds": [kind]})
    FacilitatorHealth.objects.update(asked_at="2020-01-01T00:00:00Z")
    worker.sweep()
    facilitator.settle = None
    let_lapse()
    assert client.get("/metered/?use=0.02", headers=paying).status_code == 200


# ------------------------------------------------------------------------------ The counter


def test_a_fixed_price_is_a_fixed_price(make_resource, buyer, facilitator, call):
    make_resource("metered", "0.05")
    response = pays(call, buyer, "/metered/?use=0.01")
    assert response.status_code == 200
    assert json.loads(response.content) == {"left": "Infinity"}
    payment = Payment.objects.get()
    assert (payment.captured, payment.used, payment.price) == ("50000", None, Decimal("0.05"))


@pytest.mark.parametrize("amount", ["-1", "x", "NaN", "Infinity", Decimal(-1)])
def test_no_amount(amount):
    with pytest.raises(ValueError, match="no amount"):
        Usage(Decimal(1)).charge(amount)


@pytest.mark.parametrize("amount", [0.1, None, True, b"1"])
def test_never_a_float(amount):
    with pytest.raises(TypeError, match="string or Decimal"):
        Usage(Decimal(1)).charge(amount)


def test_parts_may_cost_what_they_are_worth():
    usage = Usage(Decimal("0.10"))
    parts = list(
        usage.meter(["a", "bbb", "cc", "dddd"], each=lambda part: len(part) * Decimal("0.02"))
    )
    assert parts == ["a", "bbb"]
    assert (usage.charged, usage.left) == (Decimal("0.08"), Decimal("0.02"))


# ----------------------------------------------------------------------- Other ways to pay it


@pytest.fixture
def prepaid(make_resource, metered, buyer, facilitator):
    """A program that has paid ten cents ahead."""
    make_resource("credit", price="0.10", access="balance", policy="before")
    program, add = Client(), "/paywall/balance/add/credit/"
    assert program.get(add, headers=buyer.pays(program.get(add))).status_code == 200
    return program


PREPAID = {"Paywall-Pay": "balance"}


def test_a_balance_pays_what_was_used(prepaid):
    response = prepaid.get("/metered/?use=0.0123", headers=PREPAID)
    assert (response.status_code, response.headers["Paywall-Balance"]) == (200, "0.0877 USD")
    entry = BalanceEntry.objects.get(kind="spent")
    assert (entry.amount, entry.state) == (Decimal("-0.0123"), "done")
    assert prepaid.get("/stream/?n=2", headers=PREPAID).getvalue() == b"0 1 "
    assert Balance.objects.get().amount == Decimal("0.0677")


def test_a_balance_pays_nothing_for_nothing(prepaid):
    response = prepaid.get("/metered/?use=0", headers=PREPAID)
    assert (response.status_code, response.headers["Paywall-Balance"]) == (200, "0.10 USD")
    assert BalanceEntry.objects.get(kind="spent").state == "undone"


def test_a_balance_has_to_cover_the_most(prepaid):
    assert prepaid.get("/metered/?use=0.045", headers=PREPAID).status_code == 200
    assert prepaid.get("/metered/?use=0.045", headers=PREPAID).status_code == 200
    response = prepaid.get("/metered/?use=0.001", headers=PREPAID)
    assert (response.status_code, code(response)) == (402, "balance_too_low")


def test_a_view_that_does_not_say_takes_nothing_from_a_balance(prepaid):
    with pytest.raises(UsageNotTold):
        prepaid.get("/metered/", headers=PREPAID)
    assert Balance.objects.get().amount == Decimal("0.10")


def test_a_person_is_told_the_most(metered, facilitator):
    page = Client().get("/metered/", headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
    text = page.content.decode()
    assert page.status_code == 402
    assert "$0.05 at most" in text
    for way in ("wallet", "transfer", "card", "handler"):
        assert f'data-paywall-way="{way}"' not in text


def test_it_is_listed_as_the_most(metered, facilitator):
    Client().get("/metered/")
    listing.forget()
    item = next(
        one
        for one in Client().get("/.well-known/x402").json()["items"]
        if one["resource"].endswith("/metered/")
    )
    assert item["accepts"][0]["scheme"] == "upto"
    operation = Client().get("/openapi.json").json()["paths"]["/metered/"]["get"]
    price = {"mode": "dynamic", "currency": "USD", "min": "0", "max": "0.05"}
    assert operation["x-payment-info"]["price"] == price
    assert "at most 0.05 USD, by use" in Client().get("/llms.txt").content.decode()


@pytest.mark.parametrize("changes", [{"policy": "before"}, {"access": "forever"}])
def test_only_what_is_known_after_one_request_is_charged_by_use(make_resource, changes):
    with pytest.raises(IntegrityError):
        make_resource("other", by_use=True, **changes)
    with pytest.raises(ImproperlyConfigured, match="by_use"):
        payment_required("other", price="0.05", by_use=True, **changes)
