from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from wagtail.models import Page, Site

from paywall.testing import Buyer, factories
from paywall.testing.facilitator import running
from tests.wagtail_site.pages.models import ArticlePage

BODY = [
    ("text", "<p>The beginning.</p>"),
    ("paywall", None),
    ("text", "<p>THE SECRET END.</p>"),
]


@pytest.fixture
def facilitator(settings: Any, db: None) -> Any:
    with running() as found:
        settings.PAYWALL = {
            **settings.PAYWALL,
            "FACILITATOR_URL": found.url,
            "RPC_URLS": found.nodes,
        }
        factories.make_account()
        yield found


@pytest.fixture
def home(db: None) -> Page:
    return Site.objects.get(is_default_site=True).root_page


@pytest.fixture
def make_page(home: Page):
    """A page under the home page, published as an editor does."""

    def make(model: Any = ArticlePage, **fields: Any) -> Any:
        if model is ArticlePage:
            fields.setdefault("body", BODY)
        page = model(title="Article", slug="article", **fields)
        home.add_child(instance=page)
        page.save_revision(user=editor()).publish()
        page.refresh_from_db()
        return page

    return make


def editor() -> User:
    return User.objects.get_or_create(
        username="editor", defaults={"is_superuser": True, "is_staff": True}
    )[0]


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(editor())
    return client


@pytest.fixture
def buyer() -> Buyer:
    return Buyer()
