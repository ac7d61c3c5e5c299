"""The 402 that a person sees."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.utils.html import format_html

from paywall.decorators import payment_required
from paywall.testing import challenge_of

pytestmark = pytest.mark.django_db

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        (BROWSER, True),
        ({"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, True),
        ({"Accept": "application/xhtml+xml"}, True),
        ({"Accept": "*/*"}, False),
        ({}, False),
        ({"Accept": "application/json"}, False),
        ({"Accept": "application/json, text/plain, */*"}, False),
        ({"Accept": "text/html;q=0, application/json"}, False),
    ],
)
def test_who_navigates_gets_a_page(item, headers, page):
    response = Client().get("/item/", headers=headers)
    assert response.status_code == 402
    assert response.headers["Content-Type"].startswith("text/html" if page else "application/json")
    assert challenge_of(response)["accepts"][0]["amount"] == "10000"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Accept" in response.headers["Vary"]


def test_the_page_says_what_and_how_much_and_how(make_resource):
    make_resource(description="A <b>teaser</b>.", price="0.10")
    page = Client().get("/item/?a=1&b=2", headers=BROWSER).content.decode()
    assert "<h1>Item</h1>" in page
    assert "A &lt;b&gt;teaser&lt;/b&gt;." in page
    assert "$0.10" in page
    assert "USDC on Base Sepolia" in page
    assert "http://testserver/item/?a=1&amp;b=2" in page
    assert "x402_requests" in page
    assert "style=" not in page


def test_a_page_on_an_event_loop(item):
    response = async_to_sync(AsyncClient().get)("/async-item/", headers=BROWSER)
    assert response.status_code == 402
    assert b"<h1>Item</h1>" in response.content


def test_a_program_that_pays_gets_json_when_it_is_refused(item):
    response = Client().get("/item/", headers={**BROWSER, "X-PAYMENT": "junk"})
    assert response.json()["code"] == "invalid_payload"


def test_the_page_can_be_overridden(item, settings, tmp_path):
    (tmp_path / "paywall").mkdir()
    (tmp_path / "paywall" / "payment_required.html").write_text(
        '{% extends "paywall/payment_required.html" %}{% block teaser %}Ours{% endblock %}'
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = Client().get("/item/", headers=BROWSER).content.decode()
    assert "Ours" in page
    assert "<h1>Item</h1>" in page


# ----------------------------------------------------------------------- A view's teaser


def sold_with(teaser):
    view = payment_required("item", teaser=teaser)(lambda request, **kwargs: HttpResponse("all"))
    request = RequestFactory().get("/item/", headers=BROWSER)
    return view(request, name="Ada").content.decode()


@pytest.mark.parametrize(
    ("teaser", "shown"),
    [
        (lambda request, name: f"For {name} & <b>all</b>", "For Ada &amp; &lt;b&gt;all&lt;/b&gt;"),
        (lambda request, name: format_html("<b>{}</b>", name), "<b>Ada</b>"),
        ("teaser.html", "<i>From a template, for Ada</i>"),
        (lambda request, name: "", "As the resource has it."),
        (None, "As the resource has it."),
    ],
)
def test_a_view_has_a_teaser_of_its_own(make_resource, settings, tmp_path, teaser, shown):
    make_resource(description="As the resource has it.")
    (tmp_path / "teaser.html").write_text("<i>From a template, for {{ kwargs.name }}</i>")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = sold_with(teaser)
    assert f'<div class="paywall-teaser">{shown}' in page or f"<p>{shown}</p>" in page
    assert ("As the resource has it." in page.partition("</head>")[2]) is (shown[:2] == "As")


@pytest.mark.parametrize(
    ("language", "price"), [("en", "$0.10"), ("de", "0,10\xa0$"), ("ja", "$0.10")]
)
def test_the_price_is_written_as_where_the_reader_is(make_resource, settings, language, price):
    make_resource(price="0.10")
    settings.LANGUAGE_CODE = language
    assert price in Client().get("/item/", headers=BROWSER).content.decode()


@pytest.mark.parametrize(
    ("fields", "lasts"),
    [
        ({}, "For one reading."),
        ({"access": "forever"}, "Yours for good"),
        ({"access": "period", "pass_seconds": 86_400}, "for 1 day."),
        ({"access": "period", "pass_seconds": 604_800}, "for 7 days."),
        ({"access": "period", "pass_seconds": 7_200}, "for 2 hours."),
    ],
)
def test_what_one_gets_is_said(make_resource, fields, lasts):
    make_resource(**fields)
    assert lasts in Client().get("/item/", headers=BROWSER).content.decode()
