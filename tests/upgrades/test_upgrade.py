"""From the last released version on, migrations are added and never made anew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection

from paywall.catalog.declarations import declared
from paywall.ledger import receipt_signature, receipts
from paywall.models import Order, Payment, Price, Receipt, Refund, Resource, SalesDay
from paywall.reports import rollups, status
from tests.test_docs import ROOT

HERE = Path(__file__).parent
RELEASED = {
    "0001_initial": "dd21a754479ad3d3fd5a13d6c560fbae64a4b12a15dd42f9bbd0a8c86d5729d6",
    "0002_readers": "eda2fd23dd1bae9c36a1d7df79ba33d34146ac9a0768601d1fd99118d40bb8e4",
    "0003_cards": "440b4b80246eafe7f3c8158bd48e7a1b2ef688151e6437f2a5009da82d15a14a",
    "0004_balances": "4fe8e3671902e3085be3d01af965225a014b63d2c1f2320086b823aca5b28ed2",
    "0005_keys": "31fcc1efd645084ebd2c14ced3ad31f32221d2a56cbe93215bec50c5fe12284f",
    "0006_listed": "eda02fc8218ed7863ea5cab0d1dfc8ff7dbbd884a445445c04462c8861ec21a2",
    "0007_bundle": "8e48595b986389a92224dba8b46e9bbadb1b8bcf58a9ae88abaf691738587637",
    "0008_by_use": "8d62c9d9fafcee41080186edb97935a5ab67aec4a2e982ca8fb9ef78b5cc8ff2",
    "0009_interface": "fa128de53959232121d53d696bfe28b556aec5aef36506276b5370bbcb99bb22",
    "0010_on_balances": "4d4e808de1618bc7d2a28d9e82f26e5c27c22a6f8ea7c408624eef088f67146f",
    "0011_retention": "9e6f7185d90348061d851afc85ffc2f1d89a1e5173847fd032ff861084771c58",
    "0012_invoices": "989a1a2de607c1bc4231fae354e83284a33673584292c5b01b240cbe7d94dd9e",
    "0013_desk": "a4a0b6bcbe9f50e6aab4904ec7b467dde842eb5fb1fcae347c8db50c7bfc2b93",
    "0014_visitors": "023cdd913f8b16ef8db2a0c20d84d115118b669d6a4f110c3193d0d20660e153",
}
"""Migrations that sites have run, each with its SHA-256: a new one is added to them."""


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_migration_stays_as_it_is(name):
    content = (ROOT / f"paywall/migrations/{name}.py").read_bytes()
    assert hashlib.sha256(content).hexdigest() == RELEASED[name]


@pytest.fixture
def old_database(transactional_db) -> Any:
    """The last released version's tables, with its rows."""
    last = max(path.stem for path in HERE.glob("*.json"))
    call_command("migrate", "paywall", "zero", verbosity=0)
    call_command("migrate", "paywall", last, verbosity=0)
    tables = json.loads((HERE / f"{last}.json").read_text())
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for name in ("paywall_price", "paywall_resource"):  # what `migrate` made of the code
            cursor.execute(f'DELETE FROM "{name}"')
        for name in _parents_first(tables):
            columns = ", ".join(f'"{column}"' for column in tables[name]["columns"])
            places = ", ".join(["%s"] * len(tables[name]["columns"]))
            cursor.executemany(
                f'INSERT INTO "{name}" ({columns}) VALUES ({places})',
                [_read(name, tables[name]["columns"], row) for row in tables[name]["rows"]],
            )
        there = connection.introspection.table_names(cursor)
        models = apps.get_app_config("paywall").get_models()
        old = [model for model in models if model._meta.db_table in there]
        for statement in connection.ops.sequence_reset_sql(no_style(), old):
            cursor.execute(statement)
    yield tables
    call_command("migrate", "paywall", verbosity=0)


def _parents_first(tables: dict[str, Any]) -> list[str]:
    first = ["account", "audience", "resource", "price", "payment", "receipt"]
    names = [f"paywall_{name}" for name in first if f"paywall_{name}" in tables]
    return names + [name for name in tables if name not in names]


def _read(table: str, columns: list[str], row: list[Any]) -> list[Any]:
    """SQLite keeps booleans as numbers."""
    booleans = {
        field.column
        for model in apps.get_app_config("paywall").get_models()
        if model._meta.db_table == table
        for field in model._meta.concrete_fields
        if field.get_internal_type() == "BooleanField"
    }
    pairs = zip(columns, row, strict=True)
    return [bool(v) if name in booleans and v is not None else v for name, v in pairs]


def _newly_declared(old: dict[str, Any]) -> int:
    """How many resources the code of today declares with a price that were not there then."""
    resources = old[Resource._meta.db_table]
    at = resources["columns"].index("slug")
    known = {row[at] for row in resources["rows"]}
    return sum(one.price is not None and one.slug not in known for one in declared())


@pytest.mark.slow
def test_a_database_of_the_last_version_is_upgraded_with_all_that_is_in_it(old_database):
    call_command("migrate", "paywall", verbosity=0)
    for model in apps.get_app_config("paywall").get_models():
        if not model._meta.proxy:
            kept = old_database.get(model._meta.db_table, {"rows": []})["rows"]
            more = _newly_declared(old_database) if model in (Resource, Price) else 0
            assert model._default_manager.count() == len(kept) + more, model
            for row in model._default_manager.all():
                assert str(row)
    for payment in Payment.objects.all():
        assert payment.taken_offer.amount == int(payment.authorized)
        assert payment.story
    for receipt in Receipt.objects.select_related("payment"):
        assert receipt_signature.is_genuine(receipts.document(receipt))
    assert set(Order.objects.values_list("state", flat=True)) == {"open", "paid"}
    assert Refund.objects.get().payment.refunded == "1"
    assert sum(status.take().payments.values()) == Payment.objects.count()
    before = sorted(SalesDay.objects.values_list("day", "sales", "revenue_units"))
    rollups.rebuild()
    assert sorted(SalesDay.objects.values_list("day", "sales", "revenue_units")) == before
