from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management.commands import flush
from django.db import connection, transaction
from django.urls import set_urlconf
from django.utils import timezone
from hypothesis import HealthCheck, settings

from paywall.catalog import offers
from paywall.models import Account, Price, Resource
from paywall.rails.evm.terms import account_for
from paywall.testing import Buyer
from tests import doubles
from tests.shop.views import CALLS, Watched


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """What is skipped is named at the end; in CI nothing may be."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


sys.dont_write_bytecode = False
"""pytest keeps the modules that it rewrites: made anew they take each worker some seconds."""

END_TO_END = Path(__file__).parent / "end_to_end"

WAGTAIL_SITE = Path(__file__).parent / "wagtail_site"
"""A site with settings of its own: `make test-wagtail`."""

IN_PROCESS = ("not slow", "not slow or matrix")
"""Which tests the inner loop runs, and which of those without servers PostgreSQL does."""

LONGEST = ("test_soak", "test_machine", "test_desk", "test_demo", "test_crashes", "test_clients")
"""Files that take longest, in this order: begun first, they end with the others, not after them."""


EVERY_PAIR = (
    "test_clients.py::test_the_shop_sells[official_python-gunicorn]",  # WSGI
    "test_clients.py::test_the_shop_sells[official_python-uvicorn]",  # ASGI
    "test_cards.py::test_two_clicks_and_a_card[gunicorn]",
    "test_celery.py::test_celery_confirms[redis]",
    "test_chain.py::test_a_payment_is_confirmed_by_its_logs",
    "test_cors.py::test_a_page_of_another_origin_pays",
    "test_crashes.py::test_killed_and_swept[postgresql]",
    "test_desk.py::test_a_price_is_changed_where_the_eye_is",
    "test_faults.py::test_a_worker_killed_at_any_point_loses_and_doubles_nothing[batch: sent]",
    "test_fleet.py::test_the_official_client_verifies_and_settles",
    "test_install.py::test_the_readmes_lines_sell_a_view",
    "test_onchain.py::test_many_go_in_one_transaction",
    "test_permit2.py::test_it_pays_once_and_is_confirmed",
    "test_reconcile.py::test_they_agree",
    "test_refunds.py::test_a_part_and_then_the_rest",
    "test_reorganisations.py::test_a_confirmed_payment_comes_back_after_a_reorganisation[3]",
)
"""One end-to-end test of each kind, for each pair of Python and Django (CONTRIBUTING.md)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))
    for item in items:
        if item.get_closest_marker("matrix"):
            item.add_marker("slow")
        if item.nodeid.endswith(EVERY_PAIR):
            item.add_marker("every_pair")


def pytest_configure(config: pytest.Config) -> None:
    """The inner loop's tables are made from the models, in a third of the time: that migrations
    make the same is for `makemigrations --check`, the slow tests and tests/upgrades."""
    if config.option.markexpr in IN_PROCESS:
        config.option.nomigrations = True
    gc.disable()  # until all is imported: it would find nothing


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """All of end_to_end is slow: the inner loop does not even import browsers and nodes."""
    if collection_path == WAGTAIL_SITE:
        return None if config.option.ds == "tests.wagtail_site.settings" else True
    is_in_process = config.option.markexpr in IN_PROCESS
    return True if is_in_process and collection_path == END_TO_END else None


def pytest_collection_finish() -> None:
    """What is imported stays: looked through by every collection, it would cost 5 % of a run."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 50, 100)


# `--hypothesis-profile nightly` for long runs.
common = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("default", stateful_step_count=40, **common)
settings.register_profile("nightly", max_examples=2500, stateful_step_count=60, **common)
settings.load_profile("default")

PAY_TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


MADE_BY_MIGRATE = (
    *("django_content_type", "auth_permission", "auth_group", "auth_group_permissions"),
    *("paywall_resource", "paywall_price"),
)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """After each test that commits Django flushes the tables and has everybody make anew what they
    make after `migrate`: the same rows each time, at twenty times the cost of putting them back."""
    rows: dict[str, list[Any]] = {}
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in MADE_BY_MIGRATE:
            cursor.execute(f"SELECT * FROM {table}")
            rows[table] = cursor.fetchall()

    def put_back(*_: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for table, found in rows.items():
                if found:
                    places = ", ".join(["%s"] * len(found[0]))
                    cursor.executemany(f"INSERT INTO {table} VALUES ({places})", found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "emit_post_migrate_signal", put_back)
        yield


@pytest.fixture(autouse=True)
def _urlconf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark `urlconf`."""
    if marker := request.node.get_closest_marker("urlconf"):
        monkeypatch.setattr(django_settings, "ROOT_URLCONF", marker.args[0])
        set_urlconf(None)


@pytest.fixture(autouse=True)
def _clean_slate() -> Iterator[None]:
    offers.forget()
    CALLS.clear()
    Watched.instances.clear()
    yield
    offers.forget()


@pytest.fixture
def account(db: None) -> Account:
    """Play USDC on Base Sepolia."""
    account = account_for("usdc-base-sepolia", PAY_TO)
    account.save()
    return account


@pytest.fixture
def make_resource(account: Account) -> Callable[..., Resource]:
    def make(slug: str = "item", price: str = "0.01", **fields: Any) -> Resource:
        resource = Resource.objects.create(slug=slug, title=slug.capitalize(), **fields)
        Price.objects.create(resource=resource, amount=Decimal(price), valid_from=timezone.now())
        return resource

    return make


@pytest.fixture
def item(make_resource: Callable[..., Resource]) -> Resource:
    return make_resource()


@pytest.fixture
def buyer() -> Buyer:
    return Buyer()


@pytest.fixture
def facilitator(settings: Any) -> Iterator[doubles.Double]:
    """A facilitator double that says what the test tells it, and the site that asks it."""
    with doubles.facilitator() as double:
        settings.PAYWALL = {
            **settings.PAYWALL,
            "FACILITATOR_URL": double.url,
            "FACILITATOR_READ_TIMEOUT": 5.0,
        }
        yield double


@pytest.fixture
def paywall_settings(settings: Any) -> Callable[..., None]:
    """Change single keys of the PAYWALL setting."""

    def change(**keys: Any) -> None:
        settings.PAYWALL = {**settings.PAYWALL, **keys}

    return change
