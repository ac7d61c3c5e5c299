"""What a site's checkout does: a button starts an order, and a webhook tells of its money."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from paywall import holders, ledger
from paywall.catalog import offers
from paywall.models import Order
from paywall.vocabulary import Claim, Paid
from tests.shop import views


def order(request: HttpRequest, slug: str) -> HttpResponse:
    """The button on the page: an order for this browser."""
    sale = offers.load(slug)
    secret = holders.secret_of(request)
    url = f"http://testserver{request.GET.get('at', f'/{slug}/')}"
    purpose = ledger.Purpose(sale.resource_id, "GET", url, sale.policy, holders.hash_of(secret))
    made = ledger.open_order(sale.offers[0], purpose, seconds=600)
    ledger.order_sent_to(made, f"session-{made.public_id}")
    response = JsonResponse({"order": made.public_id})
    holders.hand(request, response, secret)
    return response


@csrf_exempt
def hook(request: HttpRequest) -> HttpResponse:
    """Whoever takes the money tells of it, as often as it likes."""
    told = json.loads(request.body)
    made = Order.objects.get(reference=f"session-{told['order']}")
    claim = Claim(identity=f"till:{told['charge']}", amount=told["amount"])
    paid = Paid(told["charge"], told.get("final", True), evidence={"event": told["charge"]})
    payment = ledger.order_paid(made, claim, paid)
    return JsonResponse({"payment": payment.pk})


urlpatterns = [
    path("order/<slug:slug>/", order),
    path("hook/", hook),
    path("paywall/", include("paywall.urls")),
    path("item/", views.item),
    path("failing/", views.failing),
]
