"""The desk on PostgreSQL: what it asks for is found by indexes, and sums are the raw sums."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.services import postgresql

from .conftest import demo_site

PAYMENTS = "60000"


@pytest.fixture(scope="module")
def database():
    with postgresql() as url:
        yield url


@pytest.fixture(scope="module")
def year(database, tmp_path_factory, chain, facilitator_url) -> Any:
    """A site with a year of trade on PostgreSQL."""
    folder = tmp_path_factory.mktemp("volume")
    site = demo_site(folder, chain, facilitator_url, DATABASE_URL=database)
    site.manage("migrate", "-v", "0")
    site.manage("seed_demo")
    site.manage("paywall_fake", "--payments", PAYMENTS)
    return site


PLANS = """
import json
from django.db.models import Q
from paywall.dashboard import search
from paywall.dashboard.search import FilterForm, find, _read_key
from paywall.models import Receipt

first = Receipt.objects.order_by("-issued_at", "-pk")
middle = first[30_000]
key = f"{middle.issued_at.isoformat()}_{middle.pk}"
asked = {}

def rows(name, query, before=""):
    form = FilterForm(query)
    assert form.is_valid(), form.errors
    found = find(form.cleaned_data).select_related("payment__account", "payment__user")
    if before:
        at, pk = _read_key(before)
        found = found.filter(Q(issued_at__lt=at) | Q(issued_at=at, pk__lt=pk))
        found = found.filter(issued_at__lte=at)
    asked[name] = found[: search.PAGE + 1].explain()

payment = middle.payment
rows("first page", {})
rows("a page far down", {}, key)
rows("by number", {"q": str(middle.number or 1)})
rows("by transaction", {"q": payment.reference})
rows("by wallet", {"q": payment.payer})
rows("by public id", {"q": middle.public_id})
rows("of a week", {"since": "2026-02-01", "until": "2026-02-07"})
rows("lost", {"state": "lost"})
print(json.dumps(asked))
"""


def test_receipts_are_found_by_indexes(year):
    """No plan reads a whole table of payments or receipts."""
    plans = json.loads(year.shell(PLANS).splitlines()[-1])
    assert len(plans) == 8
    for name, plan in plans.items():
        for table in ("paywall_payment", "paywall_receipt"):
            assert f"Seq Scan on {table} " not in plan + " ", (name, plan)
    assert "paywall_receipt_newest" in plans["first page"]
    assert "paywall_receipt_newest" in plans["a page far down"]
    assert "paywall_receipt_newest" in plans["of a week"]
    assert "paywall_payment_reference" in plans["by transaction"]
    assert "paywall_payment_payer" in plans["by wallet"]
    assert "paywall_payment_open" in plans["lost"]


SUMS = """
import json
from django.db import connection
from paywall import business_days
from paywall.reports import rollups
from paywall.dashboard import figures, periods
from paywall.models import Payment, RollUp
from paywall.models.exposure import UNITS

def raw(period, currency):
    start, end = business_days.bounds(period.first, period.last)
    with connection.cursor() as cursor:
        cursor.execute('''
            select count(*) filter (where currency = %s),
                   coalesce(sum(price) filter (where currency = %s), 0),
                   count(distinct payer)
            from paywall_payment
            where created_at >= %s and created_at < %s
              and (state in ('settled', 'confirmed')
                   or (state in ('claimed', 'settling') and delivered_at is not null))
            ''', [currency, currency, start, end])
        return [str(value.normalize() if hasattr(value, "normalize") else value)
                for value in cursor.fetchone()]

told = []
for query in ({"period": "today"}, {"period": "7"}, {"period": "30"}, {"period": "365"}):
    period = periods.read(query)
    for currency in ("USD", "EUR"):
        found = figures.of(period, currency)
        kept = [str(int(found.sales.now)), str(found.revenue.now.normalize()),
                str(int(found.buyers.now))]
        told.append([query, currency, kept, raw(period, currency)])
print(json.dumps(told))
"""


def test_sums_are_the_raw_sums_as_the_database_adds_them(year):
    for query, currency, kept, raw in json.loads(year.shell(SUMS).splitlines()[-1]):
        same = [Decimal(value) for value in kept] == [Decimal(value) for value in raw]
        assert same, (query, currency, kept, raw)


def test_the_same_arguments_make_the_same_year(chain, facilitator_url, tmp_path):
    digest = (
        "import hashlib; from paywall.models import Payment;"
        "rows = Payment.objects.order_by('identity').values_list('identity', 'price', 'state',"
        " 'created_at');"
        "print(hashlib.sha256(repr(list(rows)).encode()).hexdigest())"
    )
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        site = demo_site(folder, chain, facilitator_url)
        site.manage("migrate", "-v", "0")
        site.manage("paywall_fake", "--payments", "500", "--until", "2026-06-30")
        digests.append(site.shell(digest).splitlines()[-1])
    assert digests[0] == digests[1]


STEPS = """
    insert into paywall_paymentevent (payment_id, kind, data, at)
    select id, 'confirmed', '{}', confirmed_at from paywall_payment p
    where confirmed_at is not null
      and not exists (select from paywall_paymentevent e where e.payment_id = p.id)
"""
"""What the made-up year leaves out of its older payments."""

ARCHIVE = Path(__file__).parents[2] / "docs" / "production" / "archive.sql"

COUNTS = """
    select (select count(*) from paywall_paymentevent),
           (select count(*) from paywall_event_archive),
           (select count(distinct tableoid) from paywall_event_archive),
           (select count(*) from paywall_paymentevent e join paywall_payment p on p.id = payment_id
            where p.created_at < date_trunc('month', now() - interval '3 months')
              and p.state in ('confirmed', 'failed', 'lost')
              and e.at < date_trunc('month', now() - interval '3 months'))
"""


def test_old_steps_move_into_an_archive_by_month(year, database):
    """As docs/production/archive.sql has it, which is for many more. The last test of its site."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(STEPS)
        before = connection.execute("select count(*) from paywall_paymentevent").fetchone()[0]
        connection.execute(ARCHIVE.read_text())
        for _ in range(2):  # doing it twice does nothing twice
            connection.execute("CALL paywall_archive_events('3 months')")
            found: Any = connection.execute(COUNTS).fetchone()
            left, moved, months, forgotten = found
            assert left + moved == before
            assert (moved > 10_000, months >= 8, forgotten) == (True, True, 0)
        payment = connection.execute("select min(payment_id) from paywall_event_archive").fetchone()
    key = f"from paywall.models import Payment; payment = Payment.objects.get(pk={payment[0]})"
    told = year.shell(f"{key}; print(len(payment.story))")
    assert int(told.splitlines()[-1]) >= 1
    year.manage("paywall_rollup")
