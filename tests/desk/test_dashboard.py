"""What the dashboard shows, and what can be done on it."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from datetime import timedelta
from decimal import Decimal

import openpyxl
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import mail
from django.utils import timezone

from paywall import business_days, ledger
from paywall.catalog import offers
from paywall.dashboard import exports, periods, search, spreadsheets
from paywall.models import (
    AccessPass,
    Balance,
    Export,
    Payment,
    PaymentEvent,
    Receipt,
    Refund,
    RollUp,
    Transaction,
    Wallet,
)
from paywall.reports import rollups

from .conftest import days_ago

pytestmark = pytest.mark.django_db

REFUND = {"refund-reason": "it rained", "refund-amount": "", "refund-sent_in": ""}


def numbers(page: str) -> list[str]:
    return re.findall(r"<dt>[^<]+</dt><dd><strong>([^<]+)</strong>", page)


def test_it_says_that_no_worker_runs(owner, sold):
    sold("one")
    assert "No worker has been at it" in owner.get("/dashboard/").content.decode()
    rollups.rebuild()
    assert "No worker has been at it" not in owner.get("/dashboard/").content.decode()


def test_figures_stand_beside_those_of_the_period_before(owner, sold):
    for number in range(3):
        sold(f"now {number}", created_at=days_ago(1))
    for number in range(2):
        sold(f"then {number}", created_at=days_ago(9))
    sold("failed", state="failed")
    rollups.rebuild()
    page = owner.get("/dashboard/?period=7").content.decode()
    assert numbers(page) == ["0.03", "3", "1", "0.01", "0.0 %", "1"]
    assert page.count("+50.0 % on the period before") == 2
    assert "failed: Your page failed, so it was not charged" in page


def test_each_chart_has_its_table_and_its_numbers_without_a_script(owner, sold):
    sold()
    rollups.rebuild()
    response = owner.get("/dashboard/")
    page = response.content.decode()
    charts = set(re.findall(r'data-chart="(\w+)"', page))
    assert charts == {"revenue", "resources", "networks", "policies"}
    assert page.count("<summary>As a table</summary>") == len(charts)
    data = json.loads(re.search(r'<script id="desk-data"[^>]*>(.*?)</script>', page)[1])
    assert set(data) == {*charts, "failures"}
    assert "Base Sepolia" in page
    assert re.search(r"<script(?![^>]*(src=|application/json))", page) is None
    assert "style=" not in page
    assert "onclick" not in page


def test_htmx_gets_only_what_changed(owner, sold):
    sold()
    rollups.roll_up()
    page = owner.get("/dashboard/").content.decode()
    live = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    assert owner.get(live, headers={"HX-Request": "true"}).status_code == 204
    sold("another")
    rollups.roll_up()
    fragment = owner.get(live, headers={"HX-Request": "true"})
    assert fragment.status_code == 200
    assert fragment.content.decode().lstrip().startswith('<div id="desk-live"')


def test_a_currency_of_its_own_and_a_range(owner, sold):
    sold("dollars", created_at=days_ago(40))
    sold("euros", currency="EUR", price=Decimal(3))
    rollups.rebuild()
    first = business_days.today() - timedelta(days=60)
    url = f"/dashboard/?period=range&from={first}&to={business_days.today()}"
    assert 'aria-current="page">EUR' in owner.get(f"{url}&currency=EUR").content.decode()
    assert numbers(owner.get(f"{url}&currency=EUR").content.decode())[0] == "3.00"
    assert numbers(owner.get(f"{url}&currency=USD").content.decode())[0] == "0.01"


@pytest.mark.parametrize(
    "query",
    [
        {"period": "range"},
        {"period": "range", "from": "x", "to": "2026-01-01"},
        {"period": "range", "from": "0001-01-01", "to": "0001-01-01"},
        {"period": "range", "from": "9999-12-31", "to": "9999-12-31"},
        {"period": "range", "from": "2026-05-01", "to": "2026-04-01"},
        {"period": "\0"},
    ],
)
def test_no_period_breaks_the_dashboard(owner, sold, query):
    sold()
    rollups.rebuild()
    assert owner.get("/dashboard/", query).status_code == 200
    assert periods.read(query).first <= periods.read(query).last


# -------------------------------------------------------------------------------- Receipts


def listed(client, **query) -> list[int]:
    response = client.get("/dashboard/receipts/", query)
    assert response.status_code == 200
    return [receipt.pk for receipt, _ in response.context["rows"]]


@pytest.mark.slow
def test_pages_follow_each_other_and_nothing_is_counted(owner, sold, django_assert_max_num_queries):
    made = [sold(str(number), created_at=days_ago(number / 10)).pk for number in range(120)]
    # Some share a moment: the key alone tells them apart.
    Receipt.objects.filter(pk__in=made[40:60]).update(issued_at=days_ago(4))
    order = list(Receipt.objects.order_by("-issued_at", "-pk").values_list("pk", flat=True))
    seen, url = [], "/dashboard/receipts/"
    while url:
        response = owner.get(url)
        seen.append([receipt.pk for receipt, _ in response.context["rows"]])
        url = response.context["older"] and "/dashboard/receipts/" + response.context["older"]
    assert [pk for page in seen for pk in page] == order
    assert [len(page) for page in seen] == [50, 50, 20]
    back = owner.get("/dashboard/receipts/" + response.context["newer"])
    assert [receipt.pk for receipt, _ in back.context["rows"]] == seen[1]
    first = owner.get("/dashboard/receipts/" + back.context["newer"])
    assert [receipt.pk for receipt, _ in first.context["rows"]] == seen[0]
    assert first.context["page"].is_first


def test_a_receipt_is_found_by_what_people_have_of_it(owner, sold, make_resource):
    buyer = User.objects.create_user("ada", "ada@example.com")
    other = make_resource("other", price="2")
    wanted = sold(
        "wanted", reference="0x" + "ab" * 32, user=buyer, url="http://testserver/item/?page=7"
    )
    sold("unwanted", resource=other, payer="0x" + "1" * 40, reference="0x" + "cd" * 32)
    wanted.refresh_from_db()
    texts = [
        *(str(wanted.number), f"#{wanted.number}", f"No. {wanted.number}", wanted.public_id),
        *("0x" + "AB" * 32, wanted.payment.payer, wanted.payment.payer.lower()),
        *("http://testserver/item/?page=7", "/item/?page=7", "ada", "ADA@example.com"),
    ]
    wallet = wanted.payment.payer
    texts += [
        wallet[:6],
        wallet[:12],
        f"{wallet[:6]}…{wallet[-4:]}",
        f"{wallet[:8]}...{wallet[-3:]}",
    ]
    for text in texts:
        assert listed(owner, q=text) == [wanted.pk], text
    assert listed(owner, q=f"{wallet[:6]}…0000") == []
    assert listed(owner, q="item") == [wanted.pk], "by its title, or part of it"
    assert listed(owner, q="nobody") == []


def test_what_is_not_found_may_have_failed(owner, sold):
    sold("one")
    page = owner.get("/dashboard/receipts/?q=nobody").content.decode()
    assert "has to be whole" in page
    assert '<a href="/admin/paywall/payment/?q=nobody">' in page


def test_receipts_are_filtered_by_anything(owner, sold, make_resource):
    dear = make_resource("dear", price="2", policy="before")
    cheap = sold("cheap", created_at=days_ago(40))
    other = sold("other", resource=dear, state="settled")
    Payment.objects.filter(pk=other.payment_id).update(policy="before", delivered_at=None)
    assert listed(owner, state="settled") == [other.pk]
    assert listed(owner, state="confirmed") == [cheap.pk]
    assert listed(owner, resource="dear") == [other.pk]
    assert listed(owner, resource="Item") == [cheap.pk]
    assert listed(owner, policy="before") == [other.pk]
    assert listed(owner, protocol="x402/2") == [other.pk, cheap.pk]
    assert listed(owner, account=cheap.payment.account_id) == [other.pk, cheap.pk]
    assert listed(owner, least="1") == [other.pk]
    assert listed(owner, most="1") == [cheap.pk]
    assert listed(owner, delivered="no") == [other.pk]
    assert listed(owner, refunded="no") == [other.pk, cheap.pk]
    assert listed(owner, refunded="yes") == []
    assert listed(owner, currency="usd", since=business_days.today().isoformat()) == [other.pk]
    assert listed(owner, until=business_days.day_of(days_ago(30)).isoformat()) == [cheap.pk]


def test_a_filter_that_cannot_be_understood_shows_its_error_and_no_receipts(owner, sold):
    sold()
    response = owner.get("/dashboard/receipts/?since=soon&least=free")
    assert response.context["rows"] == []
    assert "Enter a valid date." in response.content.decode()


@pytest.mark.parametrize("key", ["x", "2026-01-01T00:00:00_1", "2026-01-01T00:00:00+00:00_x", "_"])
def test_a_key_that_was_tampered_with_opens_the_first_page(owner, sold, key):
    receipt = sold()
    assert listed(owner, before=key) == [receipt.pk]
    assert listed(owner, after=key) == [receipt.pk]


def test_a_receipt_tells_its_whole_story(owner, sold):
    receipt = sold()
    page = owner.get(f"/dashboard/receipts/{receipt.pk}/").content.decode()
    for word in ("challenge", "verification", "claimed", "delivered", "settled", "confirmed"):
        assert f'<th scope="row">{word}</th>' in page
    assert "https://sepolia.basescan.org/tx/" in page
    assert "https://sepolia.basescan.org/block/7" in page
    assert f"https://sepolia.basescan.org/address/{receipt.payment.payer}" in page
    assert receipt.payment.payload.get("signature") not in page
    assert owner.get("/dashboard/receipts/999/").status_code == 404


def test_a_refund_from_the_receipt(owner, sold, paywall_settings):
    paywall_settings(TREASURY_KEY="0x" + "11" * 32, RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    receipt = sold()
    seen = json.dumps({str(receipt.payment_id): "0"})
    url = f"/dashboard/receipts/{receipt.pk}/refund/"
    for _ in range(2):  # two clicks, one refund
        response = owner.post(url, {**REFUND, "refund-seen": seen}, follow=True)
        assert response.status_code == 200
    refund = Refund.objects.get()
    assert refund.reason == "it rained"
    assert "it rained" in response.content.decode()
    assert LogEntry.objects.filter(change_message__contains="Refund #").count() == 1
    response = owner.post(url, {"refund-seen": seen})
    assert response.status_code == 400
    assert "This field is required" in response.content.decode()


def test_a_note_stays_with_the_payment(owner, sold):
    receipt = sold()
    url = f"/dashboard/receipts/{receipt.pk}/note/"
    page = owner.post(url, {"note-text": "She wrote <b>twice</b>."}, follow=True).content.decode()
    assert "She wrote &lt;b&gt;twice&lt;/b&gt;." in page
    assert PaymentEvent.objects.get(kind="note").data["by"] == "owner"


def test_a_receipt_is_sent_again(owner, sold):
    receipt = sold()
    url = f"/dashboard/receipts/{receipt.pk}/resend/"
    owner.post(url, {"resend-to": "buyer@example.com"})
    (message,) = mail.outbox
    assert message.to == ["buyer@example.com"]
    assert f"http://testserver/paywall/receipts/{receipt.public_id}/" in message.body
    assert owner.post(url, {"resend-to": "nobody"}).status_code == 400


def test_a_pass_is_revoked_with_a_line_in_the_log(owner, make_resource, sold):
    forever = make_resource("forever", access="forever")
    receipt = sold("pass", resource=forever)
    ledger.grant_pass(receipt.payment, offers.load("forever").pass_seconds, "h" * 64)
    page = owner.get(f"/dashboard/receipts/{receipt.pk}/").content.decode()
    assert "Revoke the access pass" in page
    owner.post(f"/dashboard/receipts/{receipt.pk}/revoke/")
    assert AccessPass.objects.get().revoked_at is not None
    assert LogEntry.objects.filter(change_message="Access pass: open → revoked").exists()


@pytest.mark.parametrize("action", ["refund", "note", "resend", "revoke"])
def test_who_may_look_may_not_act(staff, sold, action):
    receipt = sold()
    auditor = staff("Paywall auditors")
    assert auditor.get(f"/dashboard/receipts/{receipt.pk}/").status_code == 200
    assert auditor.post(f"/dashboard/receipts/{receipt.pk}/{action}/").status_code == 403
    assert auditor.get(f"/dashboard/receipts/{receipt.pk}/{action}/").status_code == 405
    assert auditor.post(f"/dashboard/receipts/{receipt.pk}/else/").status_code == 404


# --------------------------------------------------------------------------------- Exports


def export(client, kind="receipts", format_="csv", query=""):
    started = client.post(f"/dashboard/exports/?{query}", {"kind": kind, "format": format_})
    page = client.get(started.url)
    assert page.status_code == 200
    response = client.get(f"{started.url}file/")
    return b"".join(response.streaming_content)


def test_receipts_as_csv(owner, sold, settings):
    settings.PAYWALL = {**settings.PAYWALL, "TIME_ZONE": "Europe/Lisbon"}
    sold("one")
    sold("two", state="settled")
    *rows, last = csv.DictReader(io.StringIO(export(owner).decode("utf-8-sig")))
    assert last["Receipt"] == "# 2 rows"  # without it the file is not whole
    assert [row["State"] for row in rows] == ["settled", "confirmed"]
    assert rows[1]["Receipt"] == "1"
    assert (rows[1]["Price"], rows[1]["Currency"]) == ("0.01", "USD")
    assert (rows[1]["Amount"], rows[1]["Token"], rows[1]["Network"]) == (
        "0.01",
        "USDC",
        "Base Sepolia",
    )
    found = Export.objects.get()
    assert (found.total, found.written) == (2, 2)
    assert found.finished_at is not None
    only = export(owner, query="state=settled").decode("utf-8-sig")
    assert len(list(csv.DictReader(io.StringIO(only)))) == 2  # the last one says “# 1 rows”


def test_receipts_as_xlsx_open_in_a_spreadsheet(owner, sold):
    receipt = sold()
    book = openpyxl.load_workbook(io.BytesIO(export(owner, format_="xlsx")))
    header, row = book.active.iter_rows(values_only=True)
    values = dict(zip(header, row, strict=True))
    assert values["Receipt"] == 1
    assert values["Price"] == 0.01
    assert abs(values["Issued"] - receipt.issued_at.replace(tzinfo=None)) < timedelta(seconds=2)
    assert values["Transaction"] == receipt.payment.reference


def test_what_the_site_paid_for_gas_is_in_the_books(owner, sold):
    """Our own transaction carried two payments: each bears half of its fee."""
    one, two = sold("one"), sold("two")
    rollups.rebuild()
    wallet = Wallet.objects.create(network="eip155:84532", address="0x" + "1" * 40)
    sent = Transaction.objects.create(
        wallet=wallet,
        nonce=0,
        to=wallet.address,
        data="0x",
        gas=90_000,
        max_fee=10**9,
        tip=1,
        hash=one.payment.reference,
        state="mined",
        gas_used=80_000,
        gas_price=10**9,
    )
    for receipt in (one, two):
        sent.carries.create(identity=receipt.payment.identity)
    *rows, _ = csv.DictReader(io.StringIO(export(owner).decode("utf-8-sig")))
    assert [row["Network fee"] for row in rows] == ["0.00004", "0.00004"]
    months = list(csv.reader(io.StringIO(export(owner, "months").decode("utf-8-sig"))))
    assert (
        dict(zip(months[0], months[1], strict=True))["Network fees (coin, whole network)"]
        == "0.00008"
    )
    assert "0.00008" in owner.get(f"/dashboard/receipts/{one.pk}/").content.decode()


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_months_for_accounting(owner, sold, format_):
    sold("now")
    sold("then", created_at=days_ago(70))
    rollups.rebuild()
    content = export(owner, "months", format_)
    if format_ == "csv":
        *rows, _ = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    else:
        sheet = openpyxl.load_workbook(io.BytesIO(content)).active
        rows = [[str(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    assert [row[0] for row in rows[1:]] == [
        f"{business_days.day_of(days_ago(70)):%Y-%m}",
        f"{business_days.today():%Y-%m}",
    ]
    assert [row[5:7] for row in rows[1:]] == [["1", "0.01"]] * 2


def test_an_export_that_breaks_off_says_so(owner, sold):
    for number in range(3):
        sold(str(number))
    started = owner.post("/dashboard/exports/", {"kind": "receipts", "format": "csv"})
    export = Export.objects.get()
    rows = exports._counted(export, iter([[1], [2], [3]]))
    next(rows)
    next(rows)
    rows.close()  # the browser went away
    export.refresh_from_db()
    assert (export.written, export.finished_at) == (1, None)
    assert "broken off" in owner.get(started.url).content.decode()


def test_nobody_gets_anothers_export(owner, staff, sold):
    sold()
    started = owner.post("/dashboard/exports/", {"kind": "receipts", "format": "csv"})
    assert staff("Paywall auditors").get(f"{started.url}file/").status_code == 404
    assert owner.post("/dashboard/exports/", {"kind": "keys", "format": "csv"}).status_code == 404


def test_a_cell_that_a_spreadsheet_would_run_is_text():
    text = b"".join(spreadsheets.as_csv(["a"], [["=1+1"], ["-2"], [-2], ["fine"]])).decode()
    assert text.splitlines()[1:] == ["'=1+1", "'-2", "-2", "fine", "# 4 rows"]


def test_more_rows_than_a_sheet_holds_go_into_another(monkeypatch):
    monkeypatch.setattr(spreadsheets, "SHEET_ROWS", 1001)
    rows = ([number, f"<{number}>", timezone.now(), Decimal("0.1"), None] for number in range(2500))
    content = b"".join(spreadsheets.as_xlsx(["n", "text", "at", "price", "nothing"], rows))
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    assert [len(list(sheet.rows)) for sheet in book.worksheets] == [1001, 1001, 501]
    assert book.worksheets[2].cell(2, 2).value == "<2000>"


def test_what_a_search_says_of_a_missing_filter():
    assert search.FilterForm({}).is_used is False
    assert search.FilterForm({"state": "lost"}).is_used is True


def test_what_is_on_readers_balances_is_shown(owner, sold):
    """What was paid ahead is owed: in pages, or back."""
    sold("now")
    Balance.objects.create(holder="a" * 64, currency="USD", units=1_230_000_000)
    Balance.objects.create(holder="b" * 64, currency="USD", units=20_000_000)
    Balance.objects.create(holder="b" * 64, currency="EUR", units=0)
    rollups.roll_up()
    assert RollUp.objects.get().on_balances == {"USD": 1_250_000_000}
    page = owner.get("/dashboard/").content.decode()
    assert "On readers&#x27; balances, USD" in page or "On readers' balances, USD" in page
    assert ">12.50<" in page
    assert "balances, EUR" not in page


@pytest.mark.parametrize("access", ["request", "forever"])
def test_a_pass_is_offered_to_be_revoked_where_one_was_sold(owner, sold, item, access):
    item.access = access
    item.save()
    receipt = sold("one", resource=item)
    if access == "forever":
        AccessPass.objects.create(payment=receipt.payment, resource=item, holder="a")
    page = owner.get(f"/dashboard/receipts/{receipt.pk}/").content.decode()
    assert ("refund-revoke_pass" in page) is (access == "forever")
    assert 'placeholder="0.01 USDC"' in page
