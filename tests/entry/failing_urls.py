"""Views of a site that takes payments itself."""

from __future__ import annotations

import stripe
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from paywall import conf
from paywall.decorators import maps_payment_errors, payment_required
from paywall.exceptions import PaymentFailed

RAISED: dict[str, BaseException] = {}
"""What the next request raises."""


def charge() -> None:
    cards = conf.get().cards()
    assert cards is not None
    client = stripe.StripeClient(
        cards.api_key.reveal(), base_addresses={"api": cards.api_base}, max_network_retries=0
    )
    client.v1.payment_intents.create({"amount": 100, "currency": "usd"})


@maps_payment_errors
def charging(request: HttpRequest) -> HttpResponse:
    charge()
    return HttpResponse("charged")


@maps_payment_errors
async def async_charging(request: HttpRequest) -> HttpResponse:
    charge()
    return HttpResponse("charged")


def without_decorator(request: HttpRequest) -> HttpResponse:
    charge()
    return HttpResponse("charged")


@maps_payment_errors
def raising(request: HttpRequest) -> HttpResponse:
    raise RAISED["it"]


@payment_required("item")
def sold(request: HttpRequest) -> HttpResponse:
    raise PaymentFailed("card_declined")


urlpatterns = [
    path("charging/", charging),
    path("async-charging/", async_charging),
    path("without/", without_decorator),
    path("raising/", raising),
    path("sold/", sold),
    path("item/", sold),
    path("paywall/", include("paywall.urls")),
]
