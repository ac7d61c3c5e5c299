"""Django Ninja: operations are sold, and the API's document says what they cost."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import path
from ninja import Schema
from ninja.security import HttpBearer

from paywall.contrib.ninja import NinjaAPI, payment_required
from paywall.models import Payment, Price, Resource
from tests.helpers import code

pytestmark = [pytest.mark.django_db, pytest.mark.urlconf("tests.contrib.test_ninja")]

api = NinjaAPI(urls_namespace="contrib")


class Token(HttpBearer):
    def authenticate(self, request, token):
        return token if token == "member" else None


class Forecast(Schema):
    city: str


@api.get("/forecast", response=Forecast)
@payment_required("item")
def forecast(request, city: str = "Lisbon"):
    return {"city": city}


@api.get("/later")
@payment_required("item")
async def later(request):
    return {"sold": "later"}


@api.post("/members", auth=Token())
@payment_required("item")
def members(request):
    return {"sold": "members"}


@api.get("/free")
def free(request):
    return {"sold": "nothing"}


def _article(request, slug):
    return Resource.objects.get(slug=slug)


@api.get("/articles/{slug}")
@payment_required(_article)
def article(request, slug: str):
    return {"sold": slug}


urlpatterns = [path("api/", api.urls)]


@pytest.mark.parametrize(
    ("where", "sold"),
    [
        ("/api/forecast?city=Porto", {"city": "Porto"}),
        ("/api/later", {"sold": "later"}),
        ("/api/articles/item", {"sold": "item"}),
    ],
)
def test_it_is_sold_once(item, buyer, facilitator, where, sold):
    client = Client()
    paying = buyer.pays(client.get(where))
    assert client.get(where, headers=paying).json() == sold
    assert code(client.get(where, headers=paying)) == "payment_already_used"
    assert Payment.objects.count() == 1


def test_tokens_of_its_own_are_theirs(item, buyer, facilitator):
    client = Client()
    headers = {"Authorization": "Bearer member"}
    paying = buyer.pays(client.post("/api/members", headers=headers))
    assert client.post("/api/members", headers={**headers, **paying}).json() == {"sold": "members"}


def test_the_document_says_what_it_costs(item):
    def paths():
        return Client().get("/api/openapi.json").json()["paths"]

    operation = paths()["/api/forecast"]["get"]
    assert operation["responses"]["402"] == {"description": "Payment Required"}
    assert operation["responses"]["200"]["content"]
    assert operation["x-payment-info"]["price"]["amount"] == "0.01"
    assert "x-payment-info" not in paths()["/api/free"]["get"]
    assert "402" not in paths()["/api/free"]["get"]["responses"]
    assert "x-payment-info" not in paths()["/api/articles/{slug}"]["get"]
    assert "402" in paths()["/api/articles/{slug}"]["get"]["responses"]
    Price.objects.create(resource=item, amount="0.03")
    assert paths()["/api/forecast"]["get"]["x-payment-info"]["price"]["amount"] == "0.03"


def test_a_document_of_what_is_not_for_sale_is_made_all_the_same(db):
    assert Client().get("/api/openapi.json").status_code == 200
