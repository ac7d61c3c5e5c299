from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
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


# `--hypothesis-profile nightly` for long runs.
common = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("default", stateful_step_count=40, **common)
settings.register_profile("nightly", max_examples=2500, stateful_step_count=60, **common)
settings.load_profile("default")

PAY_TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


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
