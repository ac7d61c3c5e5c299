"""503: nobody can pay. Who built the site is told why, and only where DEBUG is on."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from paywall.models import Account
from tests.helpers import code

pytestmark = pytest.mark.django_db

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture(params=["no account", "no price", "inactive"])
def closed(request, item):
    if request.param == "no account":
        for account in Account.objects.all():
            account.enabled = False
            account.save()
    elif request.param == "no price":
        item.prices.all().delete()
    else:
        item.active = False
        item.save()
    return item


def test_a_person_gets_a_page_that_says_nothing_of_ours(closed, settings):
    settings.DEBUG = False
    response = Client().get("/item/", headers=PERSON)
    text = response.content.decode()
    assert (response.status_code, response["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "Payments cannot be taken at the moment" in text
    assert response["Retry-After"]
    assert "no-store" in response["Cache-Control"]
    for told in ("DEBUG", "/admin/", "not active", "enabled account", "'item'"):
        assert told not in text


def test_a_program_learns_no_more_than_before(closed, settings):
    settings.DEBUG = False
    response = Client().get("/item/")
    assert (response.status_code, code(response)) == (503, "not_for_sale")
    assert "debug" not in response.json()


def test_in_debug_it_says_why_and_where_to_mend_it(closed, settings):
    settings.DEBUG = True
    change = f"http://testserver/admin/paywall/resource/{closed.pk}/change/"
    text = Client().get("/item/", headers=PERSON).content.decode()
    assert f'href="{change}"' in text
    assert 'href="http://testserver/admin/paywall/account/"' in text
    found = Client().get("/item/").json()
    assert found["code"] == "not_for_sale"
    assert change in found["debug"]["mend"]
    assert "Resource &#x27;item&#x27;" in text
    assert found["debug"]["why"].startswith("Resource 'item'")


def test_what_was_never_made_leads_to_where_it_is(db, settings):
    settings.DEBUG = True
    response = Client().get("/absent/")
    assert response.status_code == 503
    assert "http://testserver/admin/paywall/resource/add/" in response.json()["debug"]["mend"]


def test_async_views_too(db, settings):
    settings.DEBUG = True
    response = async_to_sync(AsyncClient().get)("/async-item/", headers=PERSON)
    assert response.status_code == 503
    assert b"DEBUG" in response.content
