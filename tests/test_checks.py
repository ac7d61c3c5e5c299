from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connections
from django.test import Client, override_settings
from django.utils import timezone

from paywall import checks
from paywall.models import Account, FacilitatorHealth, Resource, RollUp
from paywall.rails.evm.terms import account_for
from paywall.reports import metrics, rollups
from paywall.schedule import BEAT_SCHEDULE
from tests.conftest import PAY_TO

pytestmark = pytest.mark.django_db


def ids() -> set[str]:
    return {str(m.id) for m in run_checks() if str(m.id).startswith("paywall.")}


@pytest.fixture
def well_kept(account, make_resource, settings, paywall_settings):
    """A site that has done everything right."""
    for slug in ("item", "absent", "declared", "forecast", "report", "broken", "jobs", "metered"):
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


def test_while_the_work_is_done_nobody_asks_by_whom(well_kept, settings):
    """`paywall_run` is no Celery, and does the same."""
    settings.CELERY_BEAT_SCHEDULE = {}
    rollups.roll_up()
    assert ids() == set()
    RollUp.objects.update(rolled_up_at=timezone.now() - timedelta(minutes=11))
    assert ids() == {"paywall.W003"}


def test_metrics_without_their_extra(well_kept, paywall_settings, monkeypatch, caplog):
    paywall_settings(METRICS_TOKEN="t" * 32)
    assert "paywall.E018" not in ids()
    monkeypatch.setattr(checks, "find_spec", lambda name: None if "prom" in name else True)
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    assert "paywall.E018" in ids()
    metrics.install_if_there()
    assert "prometheus_client is missing" in caplog.text
    headers = {"Authorization": "Bearer " + "t" * 32}
    response = Client().get("/paywall/metrics/", headers=headers)
    assert (response.status_code, b"prometheus" in response.content) == (503, True)


def test_bots_without_what_knows_them(well_kept, paywall_settings, settings, monkeypatch):
    paywall_settings(WEB_BOT_AUTH="ask", CRAWL_LOG=True)
    assert ids() == set()
    monkeypatch.setattr(checks, "find_spec", lambda name: None if "crawl" in name else True)
    assert ids() == {"paywall.W021"}
    monkeypatch.setattr(checks, "find_spec", lambda name: None if "http_m" in name else True)
    assert ids() == {"paywall.E021"}
    monkeypatch.undo()
    paywall_settings(WEB_BOT_AUTH="ask", MONITOR=True)
    settings.ALLOWED_HOSTS = ["*"]
    assert ids() == set(), "while it is being built"
    settings.DEBUG = False
    assert ids() == {"paywall.E022", "paywall.W022", "paywall.W011"}


def test_nobody_can_pay_without_an_account(well_kept):
    Account.objects.all().delete()
    assert ids() == {"paywall.W010"}


def test_what_nobody_settles_by_use_is_named(well_kept):
    """As far as that is known: a check asks nobody."""
    assert "paywall.W019" not in ids()
    asked = FacilitatorHealth.objects.create(name="default", asked_at=timezone.now())
    assert "paywall.W019" in ids()
    asked.supported = {"upto": {"eip155:84532": PAY_TO}, "signers": [PAY_TO]}
    asked.save()
    assert "paywall.W019" not in ids()


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

    account = account_for("usdc-base", PAY_TO)
    account.terms["pay_to"] = "0x" + "0" * 40
    found = []
    original = Account.objects.using

    class Fake:
        def open(self) -> list[Account]:
            return [account]

    Account.objects.using = lambda _: Fake()  # type: ignore[assignment,return-value]
    try:
        found = [m.id for m in _check_accounts()]
    finally:
        Account.objects.using = original
    assert "paywall.E010" in found


# ------------------------------------------------------------------------------ Databases


def of_databases() -> list[Any]:
    from paywall.checks import check_databases

    return check_databases()


@pytest.mark.parametrize("vendor", ["mysql", "oracle", "microsoft"])
def test_databases_that_the_ledger_was_not_made_for_are_refused(well_kept, monkeypatch, vendor):
    """With a word why, instead of failing in raw SQL."""
    ours = connections["default"]
    monkeypatch.setattr(type(ours), "vendor", vendor)
    monkeypatch.setattr(type(ours), "display_name", vendor.title())
    (message,) = of_databases()
    assert message.id == "paywall.E008"
    assert vendor.title() in message.msg


def test_sqlite_is_set_up_so_that_nobody_gets_in_anybodys_way(well_kept, monkeypatch):
    from paywall import checks

    good = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL",
    }
    assert list(checks._check_sqlite("default", good)) == []
    for missing in good:
        options = {key: value for key, value in good.items() if key != missing}
        (message,) = checks._check_sqlite("default", options)
        assert (message.id, missing in (message.hint or "")) == ("paywall.W005", True)


@pytest.mark.slow
def test_the_demos_sqlite_is_set_up_well():
    command = [sys.executable, "manage.py", "check", "--database", "default"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=demo_env())
    assert "W005" not in done.stdout + done.stderr


class Scatters:
    """A router that sends receipts elsewhere."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "other" if model.__name__ == "Receipt" else None


def test_all_models_are_written_to_one_database(well_kept, monkeypatch):
    from django.db import router

    monkeypatch.setattr(router, "routers", [Scatters()])
    monkeypatch.setattr(
        "paywall.checks.connections",
        {"default": connections["default"]} | {"other": connections["default"]},
    )
    assert "paywall.E005" in {message.id for message in of_databases()}


def test_times_have_zones(well_kept, settings):
    settings.USE_TZ = False
    assert "paywall.E007" in ids()


def test_a_cache_after_us_would_answer_before_us(well_kept, settings):
    fetch = "django.middleware.cache.FetchFromCacheMiddleware"
    settings.MIDDLEWARE = [fetch, *settings.MIDDLEWARE]
    assert "paywall.E012" not in ids()
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, fetch]
    assert "paywall.E012" in ids()


def test_cors_after_us_would_not_mark_our_answers(well_kept, settings):
    cors = "corsheaders.middleware.CorsMiddleware"
    settings.MIDDLEWARE = [cors, *settings.MIDDLEWARE]
    assert "paywall.W018" not in ids()
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[1:], cors]
    assert "paywall.W018" in ids()


def test_wallets_that_cannot_sign_in_are_mentioned(well_kept, monkeypatch):
    from paywall import checks

    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert ids() == {"paywall.W008"}


def test_a_proxy_that_is_not_counted_is_named(well_kept, settings, paywall_settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert "paywall.W004" in ids()
    paywall_settings(PROXIES=1)
    assert "paywall.W004" not in ids()


def test_error_reports_are_filtered(well_kept, settings):
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = "django.views.debug.SafeExceptionReporterFilter"
    assert "paywall.W007" in ids()
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = "no.such.filter"
    assert "paywall.W007" in ids()


def test_a_rule_without_a_price_is_named(well_kept):
    Resource.objects.create(slug="rule", title="Rule", path="/rule/**")
    (message,) = [m for m in run_checks() if m.id == "paywall.W015"]
    assert "/rule/**" in message.msg


def demo_env(**more: str) -> dict[str, str]:
    mine = {"DJANGO_SETTINGS_MODULE": "site_demo.settings", "DEBUG": "off"}
    return {**os.environ, **mine, "DATABASE_URL": "sqlite:///var/checked.sqlite3", **more}


@pytest.mark.slow
@pytest.mark.parametrize("tls", ["off", "on"])
def test_the_demo_passes_djangos_own_checks_for_deployment(tls):
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    env = demo_env(BEHIND_TLS=tls)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_nobodys_word_on_tls_is_believed_unless_a_proxy_is_named():
    code = "from django.conf import settings; print(settings.SECURE_PROXY_SSL_HEADER)"
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    for tls, expected in (("off", "None"), ("on", "HTTP_X_FORWARDED_PROTO")):
        env = demo_env(BEHIND_TLS=tls)
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
        assert expected in done.stdout
