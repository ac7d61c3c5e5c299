"""What machines may do: RSL's document, lines of robots.txt, headers of AIPREF."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import http_sf
import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from paywall.discovery import listing
from paywall.models import Resource, UsageTerms
from paywall.testing import Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_listing")]

RSL = "{https://rslstandard.org/rsl}"
PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def archive(make_resource) -> Resource:
    return make_resource("archive", price="0.015", path="/archive/**")


def terms(**fields: Any) -> UsageTerms:
    return UsageTerms.objects.create(**fields)


def document() -> dict[str, ET.Element]:
    """Its contents, by their URLs."""
    response = Client().get("/license.xml")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/rsl+xml"
    root = ET.fromstring(response.content)
    assert root.tag == f"{RSL}rsl"
    return {content.attrib["url"]: content for content in root}


def test_nothing_is_said_unless_the_owner_says_it(item):
    assert Client().get("/license.xml").status_code == 404
    response = Client().get("/item/")
    assert "Content-Usage" not in response.headers
    assert "license" not in response.headers["Link"]
    assert "License" not in Client().get("/robots.txt").content.decode()


def test_the_document(archive):
    terms(permits="search ai-input", prohibits="ai-train", terms_url="https://a.example/terms")
    found = document()
    license_ = found["/archive/*"].find(f"{RSL}license")
    assert license_.find(f"{RSL}permits").attrib == {"type": "usage"}
    assert license_.find(f"{RSL}permits").text == "search ai-input"
    assert license_.find(f"{RSL}prohibits").text == "ai-train"
    payment = license_.find(f"{RSL}payment")
    assert payment.attrib == {"type": "crawl"}
    assert payment.find(f"{RSL}amount").attrib == {"currency": "USD"}
    assert payment.find(f"{RSL}amount").text == "0.015"
    assert payment.find(f"{RSL}accepts").attrib == {"type": "application/x402+json"}
    assert found["/archive/*"].find(f"{RSL}terms").text == "https://a.example/terms"
    everywhere = found["/"].find(f"{RSL}license")
    assert everywhere.find(f"{RSL}payment") is None, "what is not sold is read for nothing"
    assert "server" not in found["/archive/*"].attrib


def test_a_resources_own_terms_go_before_those_of_all(archive, make_resource):
    other = make_resource("other", path="/other/")
    terms(permits="search")
    terms(resource=other, compensation="attribution", permits="all")
    found = document()
    assert found["/other/"].find(f".//{RSL}payment").attrib == {"type": "attribution"}
    assert found["/other/"].find(f".//{RSL}permits").text == "all"
    assert found["/archive/*"].find(f".//{RSL}permits").text == "search"


@pytest.mark.parametrize(
    ("fields", "type_", "custom"),
    [
        ({"compensation": "free"}, "free", None),
        (
            {"compensation": "agreement", "agreement_url": "https://a.example/ask?a=1&b=2"},
            "purchase",
            "https://a.example/ask?a=1&b=2",
        ),
    ],
)
def test_other_compensations(archive, fields, type_, custom):
    terms(resource=archive, **fields)
    payment = document()["/archive/*"].find(f".//{RSL}payment")
    assert payment.attrib == {"type": type_}
    assert payment.findtext(f"{RSL}custom") == custom


def test_a_server_is_named_where_tokens_are_asked_for(archive):
    terms(resource=archive, by_token=True)
    assert document()["/archive/*"].attrib["server"] == "http://testserver/paywall/olp"


def test_robots(archive):
    terms(train_ai="n", search="y")
    terms(resource=archive, train_ai="y")
    lines = Client().get("/robots.txt").content.decode().splitlines()
    assert "License: http://testserver/license.xml" in lines
    group = lines[lines.index("User-agent: *") :]
    assert "Content-Usage: train-ai=n, search=y" in group
    assert "Content-Usage: /archive/* train-ai=y" in group


def test_headers_on_all_that_goes_out(item, facilitator):
    terms(train_ai="n", search="y")
    asked = Client().get("/item/")
    page = Client().get("/item/", headers=PERSON)
    paid = Client().get("/item/", headers=Buyer().pays(asked))
    assert (asked.status_code, page.status_code, paid.status_code) == (402, 402, 200)
    for response in (asked, page, paid):
        told = http_sf.parse(response.headers["Content-Usage"].encode(), tltype="dictionary")
        assert {name: str(value[0]) for name, value in told.items()} == {
            "train-ai": "n",
            "search": "y",
        }
        link = '</license.xml>; rel="license"; type="application/rsl+xml"'
        assert link in response.headers["Link"]
    assert 'rel="service-desc"' in asked.headers["Link"], "what was there is there still"
    assert 'rel="receipt"' in paid.headers["Link"]


def test_only_where_they_are_for(item, archive):
    terms(resource=archive, train_ai="n")
    assert "Content-Usage" not in Client().get("/item/").headers


def test_switched_off(item, paywall_settings):
    terms(train_ai="n")
    paywall_settings(FOUND_BY=["robots"])
    assert Client().get("/license.xml").status_code == 404
    assert "Link" not in Client().get("/item/").headers


def test_inactive(archive):
    terms(train_ai="n", active=False)
    assert Client().get("/license.xml").status_code == 404


def test_what_means_nothing(db):
    terms()
    with pytest.raises(ValidationError, match="change those"):
        UsageTerms().full_clean()
    with pytest.raises(ValidationError, match="needs its address"):
        UsageTerms(compensation="agreement", active=False).full_clean()


def test_words_of_the_owner_are_text(archive):
    Resource.objects.filter(pk=archive.pk).update(path='/a&b<"c>/*')
    terms(resource=archive, permits="search", terms_url="https://a.example/?a=<b>&c")
    listing.forget()
    assert Client().get("/license.xml").status_code == 200
    assert len(document()) == 1


class TestDesk:
    URL = "/admin/paywall/usageterms/"

    def test_a_preview(self, admin_client, archive):
        data = {"permits": ["search", "ai-input"], "prohibits": ["ai-train"], "train_ai": "n"}
        more = {"compensation": "price", "active": "on", "resource": str(archive.pk)}
        assert admin_client.post(f"{self.URL}add/", {**data, **more}).status_code == 302
        made = UsageTerms.objects.get()
        assert (made.permits, made.prohibits) == ("search ai-input", "ai-train")
        text = admin_client.get(f"{self.URL}{made.pk}/change/").content.decode()
        assert "&lt;permits type=&quot;usage&quot;&gt;search ai-input&lt;/permits&gt;" in text
        assert "License: http://testserver/license.xml" in text
        assert "Content-Usage: train-ai=n" in text
        assert text.count("checked") >= 4

    def test_before_anything_is_said(self, admin_client):
        text = admin_client.get(f"{self.URL}add/").content.decode()
        assert "Save, to see what is told." in text
