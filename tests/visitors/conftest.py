"""Bots that sign, and what their owners publish."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from paywall.models import BotSource, VisitorRule
from paywall.visitors import crawl_log, sources
from tests.visitors.bots import DIRECTORY, SigningBot


@pytest.fixture(autouse=True)
def _nothing_known() -> Any:
    sources.forget()
    crawl_log.forget()
    yield
    sources.forget()
    crawl_log.forget()


@pytest.fixture
def bot(db: None, paywall_settings: Any) -> SigningBot:
    """One whose keys were fetched."""
    paywall_settings(WEB_BOT_AUTH="verify")
    found = SigningBot()
    BotSource.objects.create(
        kind="directory",
        url=DIRECTORY,
        named=False,
        content=found.directory(),
        fetched_at=timezone.now(),
    )
    sources.forget()
    return found


@pytest.fixture
def rule(db: None) -> Any:
    def make(who: str, action: str, bot: str = "", resource: Any = None) -> VisitorRule:
        return VisitorRule.objects.create(who=who, action=action, bot=bot, resource=resource)

    return make


@pytest.fixture
def listed(db: None) -> Any:
    """Publish a list of addresses, as the worker has fetched it."""

    def make(url: str, *prefixes: str) -> None:
        BotSource.objects.create(kind="addresses", url=url, content=list(prefixes))
        sources.forget()

    return make
