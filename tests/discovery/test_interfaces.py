"""What a resource takes and gives: told in the challenge and in the lists."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.test import Client
from x402.extensions.bazaar import (
    extract_discovery_info,
    validate_and_extract,
    validate_discovery_extension,
)
from x402.extensions.bazaar.types import parse_discovery_extension

from paywall.decorators import payment_required
from paywall.discovery import listing
from paywall.interface import read
from paywall.models import Resource
from paywall.testing import challenge_of

pytestmark = pytest.mark.django_db

QUERY = {
    "query": {"properties": {"city": {"type": "string"}}, "required": ["city"]},
    "example": {"city": "Lisbon"},
    "answer": {"city": "Lisbon", "high": 21},
}
BODY = {
    "body": {"type": "object", "properties": {"work": {"type": "string"}}},
    "example": {"work": "Count."},
    "answer": {"id": "7"},
    "answer_schema": {"type": "object", "required": ["id"]},
}


@pytest.fixture(autouse=True)
def _fresh():
    listing.forget()
    yield
    listing.forget()


def declared(url="/item/"):
    return challenge_of(Client().get(url)).get("extensions", {}).get("bazaar")


@pytest.mark.parametrize(
    "interface", [QUERY, BODY, {}, {"query": {}}, {"method": "PUT", "body": {}}]
)
def test_the_official_package_takes_it(make_resource, interface):
    make_resource("item", interface=interface or None)
    found = declared()
    if not interface:
        assert found is None
        return
    assert validate_discovery_extension(parse_discovery_extension(found)).valid
    extracted = validate_and_extract(found)
    assert extracted.valid, extracted.errors


def test_what_goes_in_and_what_comes_out(make_resource):
    make_resource("item", interface=QUERY)
    info = declared()["info"]
    assert info["input"] == {"type": "http", "method": "GET", "queryParams": {"city": "Lisbon"}}
    assert info["output"] == {"type": "json", "example": {"city": "Lisbon", "high": 21}}


def test_a_body(make_resource):
    make_resource("item", interface=BODY)
    assert declared()["info"]["input"] == {
        "type": "http",
        "method": "POST",
        "bodyType": "json",
        "body": {"work": "Count."},
    }


def test_where_bazaars_are_not_to_find_it_nothing_is_said(make_resource, paywall_settings):
    paywall_settings(FOUND_BY=["openapi"])
    make_resource("item", interface=QUERY)
    assert declared() is None


def test_who_settles_is_told_so_that_its_bazaar_lists_it(make_resource, facilitator, buyer):
    make_resource("item", interface=QUERY)
    client = Client()
    assert client.get("/item/", headers=buyer.pays(client.get("/item/"))).status_code == 200
    (asked,) = facilitator.asked("/settle")
    found = extract_discovery_info(asked["paymentPayload"], asked["paymentRequirements"])
    assert found is not None
    assert (found.resource_url, found.method) == ("http://testserver/item/", "GET")


def test_it_is_in_the_lists(make_resource):
    make_resource("item", interface=QUERY)
    make_resource("created", interface=BODY, path="/made/")
    items = Client().get("/.well-known/x402").json()["items"]
    (item,) = [one for one in items if one["resource"].endswith("/item/")]
    assert item["extensions"]["bazaar"]["info"] == declared()["info"]
    paths = Client().get("/openapi.json").json()["paths"]
    (parameter,) = paths["/item/"]["get"]["parameters"]
    assert parameter == {
        "name": "city",
        "in": "query",
        "required": True,
        "schema": {"type": "string"},
        "example": "Lisbon",
    }
    content = paths["/item/"]["get"]["responses"]["200"]["content"]["application/json"]
    assert content == {"example": {"city": "Lisbon", "high": 21}}
    body = paths["/made/"]["post"]["requestBody"]["content"]["application/json"]
    assert body == {"schema": BODY["body"], "example": {"work": "Count."}}


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ([], "object"),
        ({"quary": {}}, "quary"),
        ({"query": {}, "body": {}}, "or a body"),
        ({"query": []}, "Schema"),
        ({"answer_schema": "x"}, "Schema"),
        ({"method": "POST", "query": {}}, "POST"),
        ({"method": "GET", "body": {}}, "GET"),
        ({"example": "x"}, "example"),
        ({"answer": "x" * 3_000}, "longer"),
    ],
)
def test_nonsense_is_named_where_it_is_typed(make_resource, said, wrong):
    with pytest.raises(ValueError, match=wrong):
        read(said)
    with pytest.raises(ImproperlyConfigured, match=wrong):
        payment_required("other", price="0.01", interface=said)
    if said:  # an empty one says nothing
        with pytest.raises(ValidationError, match=wrong):
            Resource(slug="other", title="Other", interface=said).full_clean()


def test_what_got_into_the_database_otherwise_is_left_out(make_resource, caplog):
    make_resource("item", interface={"nonsense": 1})
    assert declared() is None
    assert "The interface of item is left out" in caplog.text


# ------------------------------------------------------------------- The site's own document


def document():
    return {
        "openapi": "3.1.0",
        "paths": {
            "/item/": {
                "parameters": [],
                "get": {
                    "parameters": [
                        {"$ref": "#/components/parameters/city"},
                        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    ],
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {
                                    "schema": {"$ref": "#/components/schemas/Forecast"},
                                    "examples": {"one": {"value": {"high": 21}}},
                                }
                            }
                        }
                    },
                },
            },
            "/by-object/{name}/": {"get": {"responses": {}}},
        },
        "components": {
            "parameters": {
                "city": {
                    "name": "city",
                    "in": "query",
                    "required": True,
                    "example": "Porto",
                    "schema": {"type": "string"},
                }
            },
            "schemas": {
                "Forecast": {
                    "type": "object",
                    "properties": {
                        "high": {"type": "integer"},
                        "next": {"$ref": "#/components/schemas/Forecast"},
                    },
                },
            },
        },
    }


def broken():
    raise RuntimeError("no schema today")


HERE = "tests.discovery.test_interfaces"


def test_the_sites_own_document_says_it(item, paywall_settings):
    paywall_settings(OPENAPI=f"{HERE}.document")
    found = declared()
    assert validate_and_extract(found).valid
    assert found["info"]["input"]["queryParams"] == {"city": "Porto"}
    assert found["info"]["output"]["example"] == {"high": 21}
    city = found["schema"]["properties"]["input"]["properties"]["queryParams"]
    assert city == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }


def test_a_resource_comes_before_the_document(make_resource, paywall_settings):
    paywall_settings(OPENAPI=f"{HERE}.document")
    make_resource("item", interface=QUERY)
    assert declared()["info"]["input"]["queryParams"] == {"city": "Lisbon"}


@pytest.mark.parametrize("function", [f"{HERE}.broken", f"{HERE}.absent", "nowhere.at_all"])
def test_a_document_that_is_not_there_costs_no_sale(item, paywall_settings, caplog, function):
    paywall_settings(OPENAPI=function)
    assert Client().get("/item/").status_code == 402
    assert declared() is None
    assert "PAYWALL['OPENAPI'] gives no OpenAPI document" in caplog.text
