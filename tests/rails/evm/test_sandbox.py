"""Play money: the whole of it, and that it never buys what is sold for money."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from paywall import checks, conf
from paywall.catalog import offers
from paywall.models import Account, Payment, Price, Receipt, Refund, Resource
from paywall.models.payments import State
from paywall.rails.evm.sandbox.terms import PAY_TO, RAIL
from paywall.settlement import refunds, worker
from paywall.testing import Buyer, challenge_of
from paywall.testing.client import PayingClient
from tests.helpers import code

pytestmark = pytest.mark.django_db

WALLET = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.fixture
def sandbox(settings):
    settings.DEBUG = True
    settings.PAYWALL = {"SANDBOX": True}


def priced(slug="item", amount="0.01", currency="USD", **fields):
    resource = Resource.objects.create(slug=slug, title=slug.capitalize(), **fields)
    price = {"amount": Decimal(amount), "currency": currency, "valid_from": timezone.now()}
    Price.objects.create(resource=resource, **price)
    return resource


def test_a_program_pays_and_it_is_final_at_once(sandbox):
    priced()
    client = PayingClient()
    assert client.get("/item/").status_code == 200
    payment = Payment.objects.get()
    assert (payment.state, payment.rail) == (State.SETTLED, RAIL)
    worker.confirm_payments()
    payment.refresh_from_db()
    assert payment.state == State.CONFIRMED
    assert Receipt.objects.get().number == 1
    replayed = Client().get("/item/", headers=client.paid)
    assert replayed.status_code == 409


def test_a_person_pays_with_a_click(sandbox):
    priced(access="forever")
    browser = Client()
    page = browser.get("/item/", headers={"Accept": "text/html"})
    assert page.status_code == 402
    assert "Pay $0.01 of play money" in page.content.decode()
    ticket = next(way for way in page.context["ways"] if way["method"].name == "sandbox")["ticket"]
    own = {"Sec-Fetch-Site": "same-origin"}
    asked = browser.post("/paywall/pay/sandbox/", {"ticket": ticket}, headers=own)
    assert asked.status_code == 200
    back = browser.get(asked.context["url"], follow=True)
    assert back.status_code == 200
    assert back.request["PATH_INFO"] == "/item/"
    assert Payment.objects.get().state == State.CONFIRMED
    assert Client().get("/item/").status_code == 402, "it is open to that browser alone"


def test_each_currency_has_its_account(sandbox):
    priced("item", currency="EUR")
    priced("other", currency="USD")
    for slug in ("item", "other", "item"):
        offers.load(slug)
    assert sorted(Account.objects.values_list("currency", flat=True)) == ["EUR", "USD"]
    assert "paywall.W010" not in {found.id for found in checks.check_shop()}


def test_what_is_charged_by_use(sandbox):
    priced("metered", "0.05", by_use=True)
    client = PayingClient()
    assert client.get("/metered/?use=0.03").status_code == 200
    assert Payment.objects.get().captured == "30000"


@pytest.mark.parametrize("changes", [{"value": "1"}, {"validBefore": "1"}, {"from": WALLET}])
def test_what_is_wrong_on_a_chain_is_wrong_here(sandbox, changes):
    priced()
    headers = Buyer().pays(Client().get("/item/"), **changes)
    assert Client().get("/item/", headers=headers).status_code == 402
    assert not Payment.objects.exists()


def test_a_refund(sandbox):
    priced()
    PayingClient().get("/item/")
    worker.confirm_payments()
    refund = refunds.request(Payment.objects.get(), 10_000, "tried out", seen=0)
    worker.see_to_refunds()
    Refund.objects.update(due_at=timezone.now())
    worker.see_to_refunds()
    refund.refresh_from_db()
    assert refund.state == Refund.State.CONFIRMED


def test_no_real_money_is_taken_in_it(sandbox, item):
    accepts = challenge_of(Client().get("/item/"))["accepts"]
    assert [offer["payTo"] for offer in accepts] == [PAY_TO]


def test_no_play_money_is_taken_without_it(sandbox, item, account, settings):
    client = PayingClient()
    challenged = Client().get("/item/")
    headers = client.buyer.pays(challenged)
    settings.PAYWALL = {}
    offers.forget()
    accepts = challenge_of(Client().get("/item/"))["accepts"]
    assert [offer["payTo"] for offer in accepts] == [account.recipient]
    refused = Client().get("/item/", headers=headers)
    assert (refused.status_code, code(refused)) == (402, "invalid_payment_requirements")


def test_without_a_real_account_nothing_is_sold_then(sandbox, settings):
    priced()
    assert Client().get("/item/").status_code == 402
    settings.PAYWALL = {}
    offers.forget()
    assert Client().get("/item/").status_code == 503
    assert "paywall.W010" in {found.id for found in checks.check_shop()}


def test_it_is_refused_where_debug_is_off(settings):
    settings.DEBUG = False
    with pytest.raises(ImproperlyConfigured, match="DEBUG"):
        conf.read({"SANDBOX": True})


def test_its_account_is_not_added_by_hand(sandbox, admin_client):
    priced()
    Client().get("/item/")
    account = Account.objects.get()
    assert admin_client.get("/admin/paywall/account/add/?rail=sandbox").status_code == 404
    assert "sandbox" not in admin_client.get("/admin/paywall/account/add/").content.decode()
    shown = admin_client.get(f"/admin/paywall/account/{account.pk}/change/").content.decode()
    assert PAY_TO in shown


def test_it_lacks_nothing(sandbox):
    said = {found.id for found in run_checks()}
    assert not said & {"paywall.E002", "paywall.W003", "paywall.W010"}


def test_the_doctor_and_status_find_nothing_missing(sandbox, capsys):
    priced()
    Client().get("/item/")
    call_command("paywall_status")
    assert "account" not in capsys.readouterr().err
