"""What sites import, name in settings or override stays where it is, however the rooms move."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import pytest
from celery import current_app
from django.core.management import get_commands
from django.template.loader import get_template
from django.urls import include, path, reverse

from paywall import conf
from tests.test_docs import ROOT

urlpatterns = [
    path("paywall/", include("paywall.urls")),
    path("facilitator/", include("paywall.fleet.urls")),
]

NAMES = [
    "paywall.admin.PricedInline",
    "paywall.dashboard.urls.urlpatterns",
    "paywall.checkout.methods.PaymentMethod",
    "paywall.checkout.methods.TakesOrders",
    "paywall.decorators.payment_required",
    "paywall.error_reports.ExceptionReporterFilter",
    "paywall.exceptions.Code",
    "paywall.exceptions.PaywallError",
    "paywall.faults.POINTS",
    "paywall.fleet.urls.urlpatterns",
    "paywall.logs.Fields",
    "paywall.middleware.PaywallMiddleware",
    "paywall.models.AccessPass",
    "paywall.models.Account",
    "paywall.models.Audience",
    "paywall.models.Gift",
    "paywall.models.Meter",
    "paywall.models.Order",
    "paywall.models.Payment",
    "paywall.models.Price",
    "paywall.models.PricedMixin",
    "paywall.models.Receipt",
    "paywall.models.Refund",
    "paywall.models.Resource",
    "paywall.models.attach_prices",
    "paywall.refunds.RefundRefused",
    "paywall.refunds.remaining",
    "paywall.refunds.request",
    "paywall.responses.EXPOSED",
    "paywall.schedule.BEAT_SCHEDULE",
    "paywall.schedule.TASK_ROUTES",
    "paywall.schedule.TRANSPORT_OPTIONS",
    "paywall.signals.payment_confirmed",
    "paywall.signals.payment_failed",
    "paywall.signals.payment_lost",
    "paywall.signals.payment_moved",
    "paywall.signals.payment_refunded",
    "paywall.signals.payment_settled",
    "paywall.tasks.confirm_payments",
    "paywall.tasks.refund",
    "paywall.tasks.roll_up",
    "paywall.tasks.settle",
    "paywall.tasks.sweep",
    "paywall.tasks.tell",
    "paywall.contrib.ninja.NinjaAPI",
    "paywall.contrib.ninja.payment_required",
    "paywall.contrib.publishing.SoldSitemap",
    "paywall.contrib.publishing.TeaserFeed",
    "paywall.contrib.publishing.public_text",
    "paywall.contrib.publishing.with_public_text",
    "paywall.contrib.rest_framework.PaymentRequired",
    "paywall.contrib.rest_framework.payment_required",
    "paywall.contrib.spectacular.AutoSchema",
    "paywall.mixins.PaymentRequiredMixin",
    "paywall.testing.Buyer",
    "paywall.testing.challenge_of",
    "paywall.testing.factories.make_account",
    "paywall.testing.factories.make_payment",
    "paywall.testing.factories.make_resource",
    "paywall.testing.outcome_of",
    "paywall.urls.urlpatterns",
]

TASKS = ("confirm_payments", "refund", "roll_up", "settle", "sweep", "tell")
COMMANDS = (
    *("buy", "check", "doctor", "init", "reconcile", "rollup", "run", "status"),
    *("stripe_events", "sync"),
)
TEMPLATES = (
    "paywall/base.html",
    "paywall/payment_required.html",
    "paywall/purchases.html",
    "paywall/receipt.html",
    "paywall/receipt_mail.txt",
)
URLS = (
    ("paywall:receipt", ("x",)),
    ("paywall:purchases", ()),
    ("paywall:sample", ()),
    ("paywall:health", ()),
    ("paywall:metrics", ()),
    ("paywall_fleet:verify", ()),
    ("paywall_fleet:settle", ()),
    ("paywall_fleet:supported", ()),
)
SETTINGS = [
    "ALERT_EMAILS",
    "ALERT_WEBHOOK_SECRET",
    "ALERT_WEBHOOK_URL",
    "AUDIENCES",
    "BALANCE_CHECK",
    "BATCH_SIZE",
    "CACHE_SECONDS",
    "CLOCK_TOLERANCE",
    "CREDIT_AFTER",
    "CURRENCY",
    "EXPOSURE_PER_MINUTE",
    "EXPOSURE_PER_PAYER",
    "EXPOSURE_TOTAL",
    "FACILITATORS",
    "FACILITATOR_CLIENTS",
    "FACILITATOR_CONNECT_TIMEOUT",
    "FACILITATOR_HEADERS",
    "FACILITATOR_READ_TIMEOUT",
    "FACILITATOR_TOKEN",
    "FACILITATOR_URL",
    "GAS_KEY",
    "GAS_LOST_PER_HOUR",
    "GAS_LOW",
    "GAS_PRICE_CEILING",
    "LOG_RANGE",
    "MAX_CREDENTIAL_BYTES",
    "METRICS_TOKEN",
    "OFFER_TIMEOUT",
    "PROXIES",
    "RECEIPT_KEY",
    "REPLACE_AFTER",
    "RESCAN_BLOCKS",
    "RETRY_AFTER",
    "RPC_QUORUM",
    "RPC_TIMEOUT",
    "RPC_URLS",
    "TIME_ZONE",
    "TREASURY_KEY",
    "TWO_PERSON_RULE",
    "VIEW_TIMEOUT",
    "WALLET_FACTORIES",
]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_importable_from_there(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(import_module(module), attribute)


@pytest.mark.parametrize("name", TASKS)
def test_the_task_has_that_name(name):
    import_module("paywall.tasks")
    assert f"paywall.{name}" in current_app.tasks


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_is_there(name):
    assert get_commands()[f"paywall_{name}"] == "paywall"


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_can_be_overridden_there(name):
    assert get_template(name)


@pytest.mark.urlconf("tests.test_public_names")
@pytest.mark.parametrize(("name", "arguments"), URLS)
def test_the_url_has_that_name(name, arguments):
    assert reverse(name, args=arguments)


@pytest.mark.parametrize("key", SETTINGS)
def test_the_setting_has_that_name(key):
    assert hasattr(conf.Settings(), key.lower())


def test_the_public_names_are_documented():
    text = (ROOT / "docs/reference/public-names.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in text] == []


@pytest.mark.slow
def test_the_exposed_headers_can_be_named_in_settings(tmp_path):
    """Where nothing of Django is ready yet."""
    (tmp_path / "early_settings.py").write_text(
        "from paywall.responses import EXPOSED\nfrom tests.settings import *\n"
        "CORS_EXPOSE_HEADERS = EXPOSED.split(', ')\n"
    )
    code = (
        "import django; django.setup(); from django.conf import settings; "
        "from paywall.responses import EXPOSED; "
        "print(settings.CORS_EXPOSE_HEADERS == EXPOSED.split(', '))"
    )
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "early_settings",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert told.stdout.strip() == "True", told.stderr


@pytest.mark.slow
def test_the_front_door_is_imported_before_django_is_ready():
    """As the lines of docs/running.md have it in `wsgi.py`."""
    code = (
        "from paywall import front; from django.core.wsgi import get_wsgi_application as make; "
        "from django.core.asgi import get_asgi_application as amake; "
        "print(callable(front.wsgi(make())), callable(front.asgi(amake())))"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert told.stdout.strip() == "True True", told.stderr
