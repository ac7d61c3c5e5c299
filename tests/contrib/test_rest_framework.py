"""Django REST framework: views and actions are sold, refusals negotiated, schemas say prices."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.decorators import action
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from paywall.contrib.rest_framework import PaymentRequired, payment_required
from paywall.contrib.spectacular import AutoSchema
from paywall.models import Payment
from paywall.testing import challenge_of
from tests.helpers import code

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urlconf("tests.contrib.test_rest_framework"),
]


class Lines(BaseRenderer):  # type: ignore[misc,unused-ignore]
    """A format of the site's own."""

    media_type, format = "text/lines", "lines"

    def render(self, data, media_type=None, context=None):
        return "\n".join(f"{key}: {data[key]}" for key in sorted(data)).encode()


class Base:
    authentication_classes = [SessionAuthentication, BasicAuthentication]
    renderer_classes = [JSONRenderer, BrowsableAPIRenderer, Lines]
    schema = AutoSchema()


class Sold(Base, APIView):  # type: ignore[misc,unused-ignore]
    permission_classes = [PaymentRequired]
    paywall_resource = "item"

    def get(self, request):
        return Response({"sold": "item"})

    def post(self, request):
        return Response({"made": request.data}, status=201)


class StaffFree(Sold):
    permission_classes = [IsAdminUser | PaymentRequired]


class MembersPay(Sold):
    permission_classes = [IsAuthenticated, PaymentRequired]


class Forecasts(Base, ViewSet):  # type: ignore[misc,unused-ignore]
    permission_classes = [PaymentRequired]
    paywall_resource = {"list": None, "retrieve": "item", "weekly": "dear"}

    def list(self, request):
        return Response(["free"])

    def retrieve(self, request, pk=None):
        return Response({"sold": pk})

    @action(detail=False)
    def weekly(self, request):
        return Response({"sold": "week"})

    def create(self, request):
        return Response({"given": "away"}, status=201)


class Decorated(Base, ViewSet):  # type: ignore[misc,unused-ignore]
    permission_classes: ClassVar[list[Any]] = []

    def list(self, request):
        return Response(["free"])

    @action(detail=False)
    @payment_required("item")
    def top(self, request):
        return Response({"sold": "top"})


class ByObject(Base, APIView):  # type: ignore[misc,unused-ignore]
    permission_classes = [PaymentRequired]

    def get_paywall_resource(self):
        return self.kwargs["slug"]

    def get(self, request, slug):
        return Response({"sold": slug})


class Nameless(Base, APIView):  # type: ignore[misc,unused-ignore]
    permission_classes = [PaymentRequired]

    def get(self, request):
        return Response({"given": "away"})


router = SimpleRouter()
router.register("forecasts", Forecasts, basename="forecasts")
router.register("decorated", Decorated, basename="decorated")
urlpatterns = [
    path("sold/", Sold.as_view()),
    path("staff/", StaffFree.as_view()),
    path("members/", MembersPay.as_view()),
    path("by/<slug:slug>/", ByObject.as_view()),
    path("nameless/", Nameless.as_view()),
    path("", include(router.urls)),
]


@pytest.fixture
def dear(make_resource):
    return make_resource("dear", price="0.05")


def pays(client, buyer, where, **headers):
    return client.get(where, headers={**headers, **buyer.pays(client.get(where, headers=headers))})


@pytest.mark.parametrize(
    ("where", "sold"),
    [
        ("/sold/", "item"),
        ("/forecasts/7/", "7"),
        ("/by/item/", "item"),
        ("/decorated/top/", "top"),
        ("/staff/", "item"),
    ],
)
def test_it_is_sold_once(item, buyer, facilitator, where, sold):
    client = Client()
    paying = buyer.pays(client.get(where))
    assert client.get(where, headers=paying).json() == {"sold": sold}
    assert code(client.get(where, headers=paying)) == "payment_already_used"
    assert Payment.objects.get().resource == item


def test_each_action_has_its_price(item, dear, buyer, facilitator):
    client = Client()
    assert client.get("/forecasts/").json() == ["free"]
    assert client.get("/decorated/").json() == ["free"]
    prices = {
        where: challenge_of(client.get(where))["accepts"][0]["amount"]
        for where in ("/forecasts/7/", "/forecasts/weekly/")
    }
    assert prices == {"/forecasts/7/": "10000", "/forecasts/weekly/": "50000"}


@pytest.mark.parametrize("ask", [("post", "/forecasts/"), ("get", "/nameless/")])
def test_what_nobody_named_is_not_given_away(item, ask):
    method, where = ask
    response = getattr(Client(), method)(where)
    assert (response.status_code, code(response)) == (503, "not_for_sale")


def test_who_is_let_in_by_another_permission_pays_nothing(item, facilitator):
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("staff"))
    assert client.get("/staff/").json() == {"sold": "item"}
    assert not Payment.objects.exists()


def test_what_stands_before_it_says_who_may_pay(item, buyer, facilitator):
    client = Client()
    assert client.get("/members/").status_code in (401, 403)
    get_user_model().objects.create_user("member", password="secret")
    basic = "Basic " + base64.b64encode(b"member:secret").decode()
    assert pays(client, buyer, "/members/", Authorization=basic).json() == {"sold": "item"}


def test_our_credentials_are_none_of_theirs(item, buyer, facilitator):
    """`Authorization: Payment` passes by Basic, and pays."""
    client = Client()
    paying = buyer.pays_mpp(client.get("/sold/", secure=True))
    assert paying["Authorization"].startswith("Payment ")
    assert client.get("/sold/", secure=True, headers=paying).json() == {"sold": "item"}


def test_a_program_posts(item, buyer, facilitator):
    client = Client(enforce_csrf_checks=True)
    body = {"data": {"a": 1}, "content_type": "application/json"}
    paying = buyer.pays(client.post("/sold/", **body))
    made = client.post("/sold/", headers=paying, **body)
    assert (made.status_code, made.json()) == (201, {"made": {"a": 1}})


def test_options_are_free_and_head_costs_nothing(item):
    assert Client().options("/sold/").status_code == 200
    assert Client().head("/sold/").status_code == 402


def test_a_refusal_is_rendered_as_it_was_negotiated(item):
    response = Client().get("/sold/", headers={"Accept": "text/lines"})
    assert (response.status_code, response["Content-Type"]) == (402, "text/lines; charset=utf-8")
    assert b"code: payment_required" in response.content
    assert challenge_of(response)["accepts"]
    assert response["Cache-Control"] == "no-store"


def test_the_browsable_api_shows_the_price(item, buyer, facilitator):
    browser = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    response = Client().get("/sold/", headers=browser)
    text = response.content.decode()
    assert response.status_code == 402
    assert "HTTP 402" in text
    assert "&quot;price&quot;: &quot;0.01 USD&quot;" in text
    assert challenge_of(response)["accepts"]


def test_the_schema_says_what_it_costs(item, dear):
    paths = SchemaGenerator(patterns=urlpatterns).get_schema(public=True)["paths"]
    price = {"mode": "fixed", "currency": "USD", "amount": "0.01"}
    for where in ("/sold/", "/staff/", "/decorated/top/", "/forecasts/{id}/"):
        operation = paths[where]["get"]
        assert operation["x-payment-info"]["price"] == price, where
        assert operation["responses"]["402"] == {"description": "Payment Required"}
    assert paths["/forecasts/weekly/"]["get"]["x-payment-info"]["price"]["amount"] == "0.05"
    assert "x-payment-info" not in paths["/forecasts/"]["get"]
    assert "402" not in paths["/decorated/"]["get"]["responses"]
    assert "x-payment-info" not in paths["/by/{slug}/"]["get"]
