from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from paywall.evm.tokens import TOKENS
from paywall.models import Account, Resource
from paywall.schedule import BEAT_SCHEDULE
from tests.conftest import PAY_TO

pytestmark = pytest.mark.django_db


def ids() -> set[str]:
    return {str(m.id) for m in run_checks() if str(m.id).startswith("paywall.")}


@pytest.fixture
def well_kept(account, make_resource, settings, paywall_settings):
    """A site that has done everything right."""
    for slug in ("item", "absent", "declared", "forecast", "report", "broken", "jobs"):
        Resource.objects.filter(slug=slug).delete()
        make_resource(slug)
    settings.DEBUG = True
    settings.CELERY_BEAT_SCHEDULE = BEAT_SCHEDULE
    paywall_settings(
        FACILITATOR_URL="https://facilitator.example",
        RPC_URLS={"eip155:84532": "https://node.example"},
    )


def test_a_well_kept_site_has_nothing_to_hear(well_kept):
    assert ids() == set()


def test_without_the_debug_flag_play_money_is_mentioned(well_kept, settings):
    settings.DEBUG = False
    assert ids() == {"paywall.W011"}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"OFFER_TIMEOUT": 0}, "paywall.E001"),
        ({"FACILITATOR_HEADERS": "no.such.function"}, "paywall.E001"),
        ({"FACILITATOR_URL": ""}, "paywall.E002"),
        ({"RPC_URLS": {"base": "https://node.example"}}, "paywall.E004"),
        ({"DATABASE": "elsewhere"}, "paywall.E001"),
        ({"RPC_URLS": {}}, "paywall.W012"),
    ],
)
def test_settings_are_checked(well_kept, paywall_settings, keys, expected):
    paywall_settings(**keys)
    assert expected in ids()


def test_the_clear_is_for_loopback_and_debug(well_kept, settings, paywall_settings):
    plain: dict[str, Any] = {
        "FACILITATOR_URL": "http://facilitator.example",
        "RPC_URLS": {"eip155:84532": "http://node.example"},
    }
    paywall_settings(**plain)
    assert ids() == set()
    settings.DEBUG = False
    assert {"paywall.E003", "paywall.W001"} <= ids()


def test_receipts_have_to_be_mounted(well_kept):
    from paywall.checks import check_installation

    with override_settings(ROOT_URLCONF="tests.test_checks"):
        assert {m.id for m in check_installation()} == {"paywall.W002"}


urlpatterns: list[Any] = []


def test_somebody_has_to_confirm(well_kept, settings):
    settings.CELERY_BEAT_SCHEDULE = {}
    assert ids() == {"paywall.W003"}


def test_nobody_can_pay_without_an_account(well_kept):
    Account.objects.all().delete()
    assert ids() == {"paywall.W010"}


def test_a_declared_resource_that_cannot_be_sold_is_named(well_kept):
    Resource.objects.get(slug="absent").delete()
    (message,) = [m for m in run_checks() if m.id == "paywall.W013"]
    assert "'absent'" in message.msg


def test_before_the_tables_are_there_the_checks_are_silent(well_kept, monkeypatch):
    from django.db import OperationalError

    from paywall import checks

    def no_table():
        raise OperationalError("no such table: paywall_account")

    monkeypatch.setattr(checks, "_check_accounts", no_table)
    assert checks.check_shop() == []


def test_an_account_to_nobody_is_an_error(well_kept):
    """The database refuses it; a row from before that constraint is still found."""
    from paywall.checks import _check_accounts

    account = Account(pay_to=PAY_TO)
    account.use(TOKENS["usdc-base"])
    account.pay_to = "0x" + "0" * 40
    found = []
    original = Account.objects.using

    class Fake:
        def filter(self, **_: Any) -> list[Account]:
            return [account]

    Account.objects.using = lambda _: Fake()  # type: ignore[method-assign,assignment,return-value]
    try:
        found = [m.id for m in _check_accounts()]
    finally:
        Account.objects.using = original  # type: ignore[method-assign]
    assert "paywall.E010" in found
