"""Nothing under `paywall/` knows vouchers; they sell a page from the challenge to the books."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from paywall import checks
from paywall.catalog import offers
from paywall.models import Account, BuyerDay, Payment, Receipt, Refund, Resource
from paywall.models.payments import State
from paywall.rails import registry
from paywall.rails.evm.terms import account_for
from paywall.reports import rollups
from paywall.settlement import refunds, worker
from paywall.testing import Buyer, challenge_of
from tests.conftest import PAY_TO
from tests.helpers import code, let_lapse
from tests.shop.views import CALLS
from tests.test_docs import ROOT
from tests.vouchers import issuer as issuers

from .conftest import ADDED, pay

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("owner", password="x"))
    return client


def test_nothing_of_ours_names_them():
    found = subprocess.run(
        ["grep", "-rniE", "voucher|library.card", str(ROOT / "paywall"), "--include=*.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


# ---------------------------------------------------------------------------- Challenge


def test_the_challenge_is_in_the_vouchers_own_words(item):
    response = Client().get("/item/")
    assert response.status_code == 402
    assert 'price="10"' in response.headers["WWW-Authenticate"]
    assert "PAYMENT-REQUIRED" not in response.headers
    assert json.loads(response.content)["code"] == "payment_required"
    assert "Authorization" in response.headers["Vary"]
    assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]


def test_one_url_sells_for_vouchers_and_for_tokens(item, facilitator, paywall_settings):
    paywall_settings(**ADDED)
    account_for("usdc-base-sepolia", PAY_TO).save()
    response = Client().get("/item/")
    assert 'price="10"' in response.headers["WWW-Authenticate"]
    (accepted,) = challenge_of(response)["accepts"]
    assert accepted["amount"] == "100000"
    assert Client().get("/item/", headers=Buyer().pays(response)).status_code == 200
    assert Client().get("/item/", headers=Buyer().pays_v1(response)).status_code == 200
    assert pay().status_code == 200
    assert sorted(Payment.objects.values_list("rail", flat=True)) == ["evm", "evm", "voucher"]


def test_a_page_shows_the_price_to_people(item):
    page = Client().get("/item/", headers={"Sec-Fetch-Mode": "navigate"})
    assert page.status_code == 402
    assert "Test vouchers" in page.content.decode()


@pytest.mark.parametrize("token", ["Bearer abc", "Basic YTpi", "Voucherish x", ""])
def test_a_sites_own_tokens_are_left_alone(item, token):
    """`Authorization` is shared: what is not the protocol's own is passed on."""
    response = Client().get("/item/", headers={"Authorization": token})
    assert (response.status_code, code(response)) == (402, "payment_required")


def test_two_credentials_are_refused(item, account):
    headers = {"Authorization": f"Voucher {issuers.voucher(10)}"}
    headers |= Buyer().pays(Client().get("/item/"))
    response = Client().get("/item/", headers=headers)
    assert (response.status_code, code(response)) == (400, "ambiguous_credential")


# ---------------------------------------------------------------------- Claim and settle


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("policy", ["after", "before", "background"])
def test_a_voucher_buys(item, issuer, kind, policy):
    item.policy = policy
    item.save()
    headers = {"Authorization": f"Voucher {issuers.voucher(10)}"}
    if kind == "sync":
        response: Any = Client().get("/item/", headers=headers)
    else:
        response = async_to_sync(AsyncClient().get)("/async-item/", headers=headers)
    assert response.status_code == 200
    assert response.headers["Voucher-Receipt"].startswith("redemption-")
    payment = Payment.objects.get()
    assert (payment.state, payment.rail, payment.payer) == (State.SETTLED, "voucher", None)
    assert (payment.authorized, payment.captured) == ("10", "10")
    assert not payment.on_credit, "nobody who is not known has credit"
    assert payment.delivered_at is not None
    assert issuer.asked == ["/redeem"]


def test_a_voucher_buys_once(item, issuer):
    headers = {"Authorization": f"Voucher {issuers.voucher(10)}"}
    assert Client().get("/item/", headers=headers).status_code == 200
    again = Client().get("/item/", headers=headers)
    assert (again.status_code, code(again)) == (409, "payment_already_used")
    assert "WWW-Authenticate" not in again.headers
    assert CALLS["item"] == 1


@pytest.mark.parametrize(
    ("brought", "refused"),
    [
        ({"value": 9}, "value_mismatch"),
        ({"key": b"somebody else's"}, "signature"),
        ({"ends": 1.0}, "valid_before"),
    ],
)
def test_what_is_wrong_is_refused_with_the_offer(item, issuer, brought, refused):
    response = pay(**{"value": 10, **brought})
    assert response.status_code == 402
    if brought != {"value": 9}:
        assert refused in code(response)
    assert "WWW-Authenticate" in response.headers
    assert not Payment.objects.exists()
    assert issuer.asked == []
    assert not CALLS


def test_a_void_voucher_costs_nothing(item, issuer):
    issuer.void.add("spoilt")
    response = pay(id_="spoilt")
    assert (response.status_code, code(response)) == (402, "settlement_refused")
    assert Payment.objects.get().state == State.FAILED


# ---------------------------------------------------------------------- Unknown outcome


def test_an_answer_that_does_not_come_is_looked_up_at_once(item, issuer):
    """The rail can be asked, so the buyer need not come back."""
    issuer.silent_after.append("/redeem")
    assert pay().status_code == 200
    assert len(issuer.redeemed) == 1
    assert "unknown" in Payment.objects.get().events.values_list("kind", flat=True)


def test_an_unknown_outcome_asks_nobody_to_pay_again(item, issuer):
    issuer.is_down = True
    headers = {"Authorization": f"Voucher {issuers.voucher(10)}"}
    response = Client().get("/item/", headers=headers)
    assert (response.status_code, code(response)) == (503, "settlement_pending")
    assert "WWW-Authenticate" not in response.headers
    assert Payment.objects.get().state == State.SETTLING
    issuer.is_down = False
    let_lapse()
    assert Client().get("/item/", headers=headers).status_code == 200
    assert CALLS["item"] == 2  # once held back, once delivered
    assert (Payment.objects.count(), len(issuer.redeemed)) == (1, 1)


def test_the_sweep_never_fails_one_by_the_clock_alone(item, issuer):
    issuer.is_down = True
    pay()
    let_lapse()
    Payment.objects.update(created_at=timezone.now() - timedelta(days=9))
    worker.sweep()
    assert Payment.objects.get().state == State.SETTLING
    issuer.is_down = False
    issuer.void |= {Payment.objects.get().identity.removeprefix("voucher:")}
    let_lapse()
    worker.sweep()
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, "never_settled")


def test_a_lie_is_found_out(item, issuer):
    """It says that it redeemed, and did not: what its books show counts."""
    issuer.lies.append("/redeem")
    assert pay().status_code == 200
    Payment.objects.update(settled_at=timezone.now() - timedelta(minutes=5))
    let_lapse()
    worker.confirm_payments()
    assert Payment.objects.get().state == State.SETTLING
    let_lapse()
    worker.sweep()
    payment = Payment.objects.get()
    assert payment.state == State.SETTLED, "it was delivered, so it is asked for once more"
    assert len(issuer.redeemed) == 1


def test_one_that_was_redeemed_elsewhere_is_lost(item, issuer):
    issuer.lies.append("/redeem")
    assert pay(id_="twice").status_code == 200
    issuer.redeemed["twice"] = {"state": "redeemed", "shop": "theirs", "reference": "r"}
    let_lapse()
    worker.confirm_payments()
    assert Payment.objects.get().state == State.LOST


# ------------------------------------------------------- Confirm, receipt, refund, books


@pytest.fixture
def paid(item, issuer) -> Payment:
    response = pay()
    assert response.status_code == 200
    let_lapse()
    assert worker.confirm_payments()["confirmed"] == 1
    return Payment.objects.get()


def test_it_is_confirmed_by_the_rails_own_evidence(paid):
    assert (paid.position, paid.evidence) == (1, {"shop": "ours"})
    receipt = Receipt.objects.get()
    assert receipt.number == 1
    document = Client().get(reverse("paywall:receipt", args=[receipt.public_id])).json()
    assert document["payment"]["transaction"] == paid.reference
    assert document["payment"]["rail"] == "voucher"
    assert document["payment"]["payer"] == ""


@pytest.mark.parametrize("silent", [True, False])
def test_it_goes_back(paid, issuer, silent):
    if silent:
        issuer.silent_after.append("/refund")
    refund = refunds.request(paid, 4, "half of it was missing", seen=0)
    for _ in range(3):
        Refund.objects.update(due_at=timezone.now(), held_until=timezone.now())
        worker.see_to_refunds()
    refund.refresh_from_db()
    assert (refund.state, refund.reference) == ("confirmed", f"back-{refund.pk}")
    assert issuer.asked.count("/refund") == 1
    paid.refresh_from_db()
    assert refunds.remaining(paid) == 6


def test_nobody_is_no_wallet_that_signed_in(item, issuer):
    """Of a payment without a payer, the credential alone is not enough for ever."""
    Resource.objects.filter(pk=item.pk).update(policy="before")
    client = Client(raise_request_exception=False)
    token = issuers.voucher(10)
    headers = {"Authorization": f"Voucher {token}"}
    assert client.get("/failing/?status=500", headers=headers).status_code == 500
    let_lapse()
    Payment.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    response = Client().get("/failing/?status=500", headers=headers)
    assert (response.status_code, code(response)) == (403, "wallet_proof_required")


def test_buyers_whom_nobody_knows_are_one_each(item, issuer, owner):
    assert [pay().status_code for _ in range(2)] == [200, 200]
    Payment.objects.update(created_at=timezone.now() - timedelta(days=3))
    assert pay().status_code == 200
    rollups.rebuild()
    assert sorted(BuyerDay.objects.values_list("buyers", flat=True)) == [1, 2]
    assert set(BuyerDay.objects.values_list("previous_day", flat=True)) == {rollups.NEVER}


def test_it_is_in_the_books(paid, owner):
    rollups.rebuild()
    refunds.request(paid, 4, "half of it was missing", seen=0)
    receipt = Receipt.objects.get()
    for page in (
        "/dashboard/",
        "/dashboard/receipts/",
        f"/dashboard/receipts/{receipt.pk}/",
        "/admin/paywall/payment/",
        f"/admin/paywall/payment/{paid.pk}/change/",
        "/admin/paywall/receipt/",
        "/admin/paywall/refund/",
        "/admin/paywall/account/",
        f"/admin/paywall/account/{paid.account_id}/change/",
    ):
        response = owner.get(page, follow=True)
        assert response.status_code == 200, page
    assert "Test vouchers" in owner.get("/dashboard/").content.decode()
    export = owner.post("/dashboard/exports/", {"kind": "receipts", "format": "csv"})
    content = b"".join(owner.get(f"{export.url}file/").streaming_content).decode("utf-8-sig")
    (row,) = [r for r in csv.DictReader(io.StringIO(content)) if r["Id"] == receipt.public_id]
    assert (row["Network"], row["Transaction"]) == ("Test vouchers", paid.reference)
    assert (row["Amount"], row["Token"]) == ("0.1", "cents")


def test_an_account_is_made_with_the_rails_own_form(owner, issuer):
    page = owner.get("/admin/paywall/account/add/?rail=voucher").content.decode()
    assert 'name="issuer"' in page
    assert 'name="pay_to"' not in page
    assert "?rail=evm" in page
    data = {
        "issuer": issuer.url,
        "shop": "ours",
        "network": "vouchers:test",
        "symbol": "cents",
        "decimals": "2",
        "currency": "USD",
        "order": "0",
        "enabled": "on",
    }
    response = owner.post("/admin/paywall/account/add/?rail=voucher", data)
    assert response.status_code == 302, response.content.decode()
    account = Account.objects.get()
    assert (account.rail, account.recipient) == ("voucher", "ours")
    assert owner.get("/admin/paywall/account/add/?rail=none").status_code == 404
    assert owner.get(f"/admin/paywall/account/{account.pk}/test/").status_code == 404


# --------------------------------------------------------------------------- A way in


def test_a_way_in_of_the_sites_own(item):
    card = {"Library-Card": "7"}
    assert [Client().get("/item/", headers=card).status_code for _ in range(3)] == [200, 200, 402]
    assert not Payment.objects.exists()


def test_a_ticket_is_given_back_where_nothing_is_delivered(item):
    card = {"Library-Card": "7"}
    for _ in range(5):
        assert Client().get("/failing/", headers=card).status_code == 500
    assert Client().get("/item/", headers=card).status_code == 200


# ------------------------------------------------------------------------- At start-up


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("RAILS", ["tests.vouchers.rail.Nothing"]),
        ("RAILS", ["tests.vouchers.way.LibraryCards"]),
        ("RAILS", ["tests.vouchers.rail.Unfinished"]),
        ("RAILS", ["paywall.rails.evm.rail.EvmRail"]),
        ("PROTOCOLS", ["nowhere.At"]),
        ("PROTOCOLS", ["tests.vouchers.rail.VoucherRail"]),
        ("WAYS_IN", ["tests.vouchers.rail.VoucherRail"]),
        ("WAYS_IN", "tests.vouchers.way.LibraryCards"),
    ],
)
def test_what_is_none_is_said_at_start_up(paywall_settings, key, value):
    paywall_settings(**{key: value})
    assert [m.id for m in checks.check_settings()] == ["paywall.E001"]
    assert key in checks.check_settings()[0].msg


def test_a_rail_that_is_gone_takes_no_money_and_breaks_no_page(item, owner, paywall_settings):
    paywall_settings(RAILS=[])
    offers.forget()
    assert Client().get("/item/").status_code == 503
    assert "paywall.E013" in [m.id for m in checks.check_shop()]
    assert owner.get("/admin/paywall/account/").status_code == 200
    assert registry.network("vouchers:test").title == "vouchers:test"
