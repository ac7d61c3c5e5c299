"""Receipts that are invoices: seller, tax, and a number of the year."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client

from paywall import business_days, conf, ledger, taxes
from paywall.adapter import Adapter
from paywall.admin.forms import AmountField
from paywall.dashboard import exports
from paywall.dashboard.search import find
from paywall.ledger import usage
from paywall.models import Payment, Receipt
from paywall.models.payments import State
from paywall.testing import challenge_of
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
SELLER = {
    "NAME": "Ada Ltd",
    "ADDRESS": "1 High Street\nLondon",
    "VAT_ID": "GB123456789",
    "VAT_RATE": "20",
}


@pytest.fixture(autouse=True)
def seller(paywall_settings):
    paywall_settings(INVOICES=SELLER)


def sold(item, identity: str = "one") -> Receipt:
    payment, _ = claim(item, identity)
    ledger.settling([payment], 0, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    ledger.confirmed([([payment], BLOCK)])
    return Receipt.objects.get(payment=payment)


def test_a_receipt_says_who_sells_and_what_is_tax(make_resource):
    receipt = sold(make_resource(price="1.20"))
    year = business_days.today().year
    assert receipt.invoice_number == f"{year}-000001"
    document = Client().get(f"/paywall/receipts/{receipt.public_id}/").json()
    assert document["invoice"] == {
        "number": f"{year}-000001",
        "seller": "Ada Ltd",
        "address": "1 High Street\nLondon",
        "vat_id": "GB123456789",
        "vat_rate": "20",
        "net": "1.00",
        "vat": "0.20",
    }
    page = Client().get(f"/paywall/receipts/{receipt.public_id}/", headers=PERSON).content.decode()
    for said in (f"Invoice {year}-000001", "1 High Street<br>London", "GB123456789", "VAT 20 %"):
        assert said in page


def test_numbers_have_no_gaps_and_begin_anew_each_year(item, monkeypatch):
    numbers = [sold(item, str(n)).invoice_number for n in range(3)]
    this = business_days.today().year
    assert numbers == [f"{this}-00000{n}" for n in (1, 2, 3)]
    monkeypatch.setattr(business_days, "today", lambda: date(this + 1, 1, 1))
    assert sold(item, "next").invoice_number == f"{this + 1}-000001"
    assert Receipt.objects.latest("pk").number == 4  # the books go on


def test_many_at_once_are_numbered_in_order(item):
    payments = []
    for n in range(3):
        payment, _ = claim(item, str(n))
        ledger.settling([payment], 0, "default")
        ledger.settled([payment], BLOCK.reference)
        ledger.delivered(payment)
        payments.append(payment)
    ledger.confirmed([(payments, BLOCK)])
    assert [r.serial for r in Receipt.objects.order_by("number")] == [1, 2, 3]


def test_what_was_taken_back_keeps_its_number(item):
    receipt = sold(item)
    ledger.taken_back(receipt.payment, State.SETTLED, "a reorganisation")
    payment = Payment.objects.get()
    ledger.confirmed([([payment], BLOCK)])
    assert Receipt.objects.get().invoice_number == receipt.invoice_number


def test_without_the_setting_there_is_none(item, paywall_settings):
    paywall_settings(INVOICES={})
    receipt = sold(item)
    assert (receipt.number, receipt.serial, receipt.invoice_number) == (1, None, "")
    assert "invoice" not in Client().get(f"/paywall/receipts/{receipt.public_id}/").json()


@pytest.mark.parametrize(
    ("paid", "rate", "net", "vat"),
    [
        ("1.20", "20", "1.00", "0.20"),
        ("0.10", "21", "0.082645", "0.017355"),
        ("0.01", "20", "0.008333", "0.001667"),
        ("19.99", "19", "16.80", "3.19"),
        ("5", "0", "5", "0"),
    ],
)
def test_tax_and_net_add_up(paid, rate, net, vat):
    found = taxes.split(Decimal(paid), Decimal(rate))
    assert found == (Decimal(net), Decimal(vat))
    assert sum(found) == Decimal(paid)


def test_prices_without_tax_are_offered_with_it(make_resource, paywall_settings):
    paywall_settings(INVOICES={**SELLER, "PRICES_WITH_VAT": False})
    item = make_resource(price="1.00")
    assert challenge_of(Client().get("/item/"))["accepts"][0]["amount"] == "1200000"
    assert "$1.20" in Client().get("/item/", headers=PERSON).content.decode()
    assert sold(item).sold["invoice"]["net"] == "1.00"
    assert Payment.objects.get().price == Decimal("1.20")
    assert "$1.20" in Client().get("/paywall/prices/", headers=PERSON).content.decode()


class Abroad(Adapter):
    rate: object = Decimal(7)

    def vat_rate(self, payment):
        if self.rate is ZeroDivisionError:
            raise ZeroDivisionError
        return self.rate


@pytest.mark.parametrize(
    ("rate", "said"),
    [(Decimal(7), "7"), (Decimal(0), "0"), (None, "20"), (ZeroDivisionError, "20"), (7, "20")],
)
def test_the_rate_is_that_of_the_buyers_country_where_the_site_knows_it(
    item, paywall_settings, monkeypatch, rate, said
):
    paywall_settings(ADAPTER=f"{__name__}.Abroad")
    monkeypatch.setattr(Abroad, "rate", rate)
    assert sold(item).sold["invoice"]["vat_rate"] == said


def test_what_is_charged_by_use_is_taxed_for_what_it_took(item):
    receipt = sold(item)
    Receipt.objects.update(number=None)
    usage.receipts.correct(receipt.payment, Decimal("0.0012"))
    invoice = Receipt.objects.get().sold["invoice"]
    assert (invoice["net"], invoice["vat"]) == ("0.001", "0.0002")


def test_an_export_has_them(make_resource):
    receipt = sold(make_resource(price="1.20"))
    columns, rows = exports.receipt_table("")
    (row,) = rows
    told = dict(zip(map(str, columns), row, strict=True))
    assert told["Invoice"] == receipt.invoice_number
    assert (told["VAT rate"], told["Before VAT"], told["VAT"]) == (20, 1, Decimal("0.20"))


def test_the_desk_finds_them_by_number(item):
    receipts = [sold(item, str(n)) for n in range(2)]
    assert list(find({"q": receipts[1].invoice_number})) == [receipts[1]]
    owner = User.objects.create_superuser("owner")
    client = Client()
    client.force_login(owner)
    page = client.get(f"/dashboard/receipts/{receipts[0].pk}/").content.decode()
    assert receipts[0].invoice_number in page


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ADDRESS": "x"}, "needs the seller's 'NAME'"),
        ({"NAME": "x", "VAT": "20"}, "has no VAT"),
        ({"NAME": "x", "VAT_RATE": "a lot"}, "must be a percentage"),
        ({"NAME": "x", "VAT_RATE": "101"}, "must be a percentage"),
        ({"NAME": "x", "SERIES": "R-"}, r"must have \{year\}"),
        ({"NAME": "x", "SERIES": "{year}{month}"}, r"must have \{year\}"),
        ({"NAME": "x", "PRICES_WITH_VAT": "no"}, "must be True or False"),
    ],
)
def test_a_setting_that_is_none_is_refused(paywall_settings, wrong, says):
    paywall_settings(INVOICES=wrong)
    with pytest.raises(Exception, match=says):
        conf.get()


def test_who_prices_before_tax_is_told(paywall_settings):
    assert not AmountField().help_text
    paywall_settings(INVOICES={**SELLER, "PRICES_WITH_VAT": False})
    assert AmountField().help_text == "Before VAT: buyers pay 20 % more."
