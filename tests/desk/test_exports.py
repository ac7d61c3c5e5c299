"""What leaves the books is whole, can be opened, and runs nothing."""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from paywall import durable, ledger
from paywall.dashboard import exports, spreadsheets
from paywall.models import Export, Receipt, Resource
from tests.helpers import BLOCK, claim


def downloaded(client: Client, kind: str = "receipts", format_: str = "csv") -> bytes:
    asked = client.post("/dashboard/exports/", {"kind": kind, "format": format_})
    return b"".join(client.get(f"{asked.url}file/").streaming_content)


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=300)


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=5))
def test_any_text_makes_a_workbook_that_opens(rows):
    content = b"".join(spreadsheets.as_xlsx(["a", "b"], rows))
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    assert len(list(book.active.iter_rows())) == len(rows) + 1


@pytest.mark.parametrize("text", ["\uffff", "\ufffe", "\x00", "\ud800", "x" * 40_000, "a\nb\tc"])
def test_odd_cells_are_written_as_far_as_there_is_a_way(text):
    content = b"".join(spreadsheets.as_xlsx(["a"], [[text], ["next"]]))
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
    rows = [row[0] for row in book.active.iter_rows(values_only=True)]
    assert rows[2] == "next"
    assert len(rows[1] or "") <= spreadsheets.MOST_IN_A_CELL


@given(st.lists(TEXTS.filter(lambda text: "\ud800" not in text), max_size=5))
def test_no_cell_of_a_csv_is_a_formula(cells):
    cells = [cell.encode(errors="replace").decode() for cell in cells]
    text = b"".join(spreadsheets.as_csv(["a"], [[cell] for cell in cells])).decode("utf-8-sig")
    *rows, last = csv.reader(io.StringIO(text, newline=""))
    assert last == [f"# {len(cells)} rows"]
    assert not any(row and row[0].lstrip(" ")[:1] in {"=", "+", "-", "@"} for row in rows)


@pytest.fixture
def many(item):
    """A thousand receipts, as quickly as they can be made."""
    payment, _ = claim(item)
    ledger.settling([payment], 60, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.confirmed([([payment], BLOCK)])
    receipt = Receipt.objects.get()
    fields = [f.name for f in payment._meta.concrete_fields if not f.primary_key]
    values = {name: getattr(payment, name) for name in fields}
    payments = [type(payment)(**{**values, "identity": f"copy {number}"}) for number in range(999)]
    type(payment).objects.bulk_create(payments, batch_size=500)
    Receipt.objects.bulk_create(
        (Receipt(payment=p, sold=receipt.sold, issued_at=receipt.issued_at) for p in payments),
        batch_size=500,
    )
    return 1_000


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_a_download_is_whole_while_others_write(owner, many, item, monkeypatch, format_):
    """Receipts are read while a worker writes all the time: nothing breaks off, and nobody waits
    for the reader."""
    monkeypatch.setattr(exports, "NOTED_EVERY", 100)
    monkeypatch.setattr(exports, "CHUNK", 100)
    stop, written, troubles = threading.Event(), [], []

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                claim(item, f"meanwhile {number}")
                number += 1
                written.append(number)
        except Exception as error:
            troubles.append(error)
        finally:
            connection.close()

    worker = threading.Thread(target=write)
    worker.start()
    try:
        contents = [downloaded(owner, format_=format_) for _ in range(2)]
    finally:
        stop.set()
        worker.join()
    assert not troubles
    assert len(written) > 5
    for content in contents:
        if format_ == "csv":
            assert content.rstrip().endswith(b"# 1000 rows")
            assert len(set(content.decode("utf-8-sig").splitlines())) == 1_002
        else:
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
            assert sum(1 for _ in book.active.iter_rows()) == 1_001
    for export in Export.objects.all():
        assert (export.written, export.broken_off_at) == (1_000, None)
        assert export.finished_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_note_that_cannot_be_written_breaks_no_download(owner, item, sold, monkeypatch, caplog):
    sold("one")

    def busy(*_: Any) -> None:
        raise durable.DatabaseError("database is locked")

    monkeypatch.setattr(exports, "_write_note", busy)
    assert downloaded(owner).rstrip().endswith(b"# 1 rows")
    assert "could not be noted" in caplog.text


# --------------------------------------------------------------------------------- Prices

LIST = "/admin/paywall/resource/"


def uploaded(client: Client, content: bytes) -> Any:
    upload = SimpleUploadedFile("prices.csv", content, "text/csv")
    return client.post(f"{LIST}import/", {"format": "0", "import_file": upload})


ROWS = "slug;title;price;currency\nitem;Über-Artikel;0.07;USD\n"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content",
    [
        ROWS.encode(),
        ROWS.encode("utf-8-sig"),
        ROWS.encode("cp1252"),
        ROWS.encode("utf-16"),
        ROWS.replace(";", ",").encode(),
        ROWS.replace(";", ",").encode("utf-16"),
        ROWS.replace("\n", "\r\n").encode("cp1252"),
    ],
    ids=["semicolons", "marked", "windows", "utf-16", "commas", "utf-16 commas", "crlf"],
)
def test_what_spreadsheet_programs_write_is_read(owner, item, content):
    dry = uploaded(owner, content)
    assert "Über-Artikel" in dry.content.decode()
    owner.post(f"{LIST}process_import/", dry.context["confirm_form"].initial)
    item.refresh_from_db()
    assert item.title == "Über-Artikel"
    assert item.current_price().amount == Decimal("0.07")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content", [b"", b"a\tb\n1\t2\n", b"name,cost\nx,1\n", bytes(range(128, 256))]
)
def test_what_is_no_list_of_prices_is_said_in_words(owner, item, content):
    page = uploaded(owner, content).content.decode()
    assert "Traceback" not in page
    assert "slug" in page or "empty" in page or "read" in page
    assert item.prices.get().amount == Decimal("0.01")


@pytest.mark.django_db
def test_resources_go_out_without_formulas_and_marked(owner, item):
    Resource.objects.filter(pk=item.pk).update(
        title="=HYPERLINK(0)", description="@SUM(1)", mime_type="+x"
    )
    content = owner.get(f"{LIST}export/").content
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    row = next(row for row in rows if row["slug"] == "item")
    assert (row["title"], row["description"]) == ("'=HYPERLINK(0)", "'@SUM(1)")
    assert row["mime_type"] == "'+x"
