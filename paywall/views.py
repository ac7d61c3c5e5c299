"""The paywall's own pages."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required, login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from paywall import conf, durable
from paywall.entry import responses
from paywall.ledger import receipt_signature, receipts
from paywall.models import Receipt
from paywall.rails import registry
from paywall.reports import metrics, status

if TYPE_CHECKING:
    from django.http import HttpRequest

PURCHASES = 25


@login_not_required
@require_safe
def receipt(request: HttpRequest, public_id: str) -> HttpResponse:
    """A receipt for whoever was given its unguessable URL: a page that can be printed, or the
    same as JSON, signed."""
    found = receipts.find(public_id) if public_id.isprintable() else None
    if found is None:
        raise Http404("There is no such receipt.")
    document = receipts.document(found)
    if responses.wants_page(request) and request.GET.get("format") != "json":
        response: HttpResponse = render(request, "paywall/receipt.html", _page(found, document))
    else:
        response = JsonResponse(document, json_dumps_params={"ensure_ascii": False})
    # It names its payment's state, which moves on.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    patch_vary_headers(response, ["Accept", "Sec-Fetch-Mode"])
    return response


def _page(found: Receipt, document: dict[str, Any]) -> dict[str, Any]:
    payment = found.payment
    offer = payment.taken_offer
    scale = -offer.decimals
    return {
        "receipt": found,
        "payment": payment,
        "document": document,
        "price": Decimal(document["price"]),
        "amount": Decimal(payment.atomic_amount).scaleb(scale).normalize(),
        "symbol": offer.symbol,
        "network": registry.network(payment.network).title,
        "testnet": registry.network(payment.network).testnet,
        "signer": receipt_signature.signer_address(),
        "refunds": [
            (Decimal(refund["amount"]).scaleb(scale).normalize(), refund["state"])
            for refund in document["refunds"]
        ],
        "json_url": f"{receipts.path_of(found.public_id)}?format=json",
    }


@require_safe
@never_cache
@login_required
def purchases(request: HttpRequest) -> HttpResponse:
    """What a signed-in user bought, the newest first."""
    mine = Receipt.objects.using(durable.alias()).filter(payment__user=request.user.pk)
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 18:
        mine = mine.filter(pk__lt=int(before))
    found = list(
        mine.select_related("payment", "payment__access_pass").order_by("-pk")[: PURCHASES + 1]
    )
    context = {
        "receipts": [(one, receipts.path_of(one.public_id)) for one in found[:PURCHASES]],
        "older": found[PURCHASES - 1].pk if len(found) > PURCHASES else None,
    }
    return render(request, "paywall/purchases.html", context)


@login_not_required
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 while the engine is keeping up, 503 when it is not: for a monitor. Says no more."""
    keeping_up = status.is_keeping_up()
    response = JsonResponse(
        {"status": "ok" if keeping_up else "behind"}, status=200 if keeping_up else 503
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@login_not_required
@require_safe
def prometheus(request: HttpRequest) -> HttpResponse:
    """The metrics, for a Prometheus that has the token. Without a token there are none."""
    token = conf.get().metrics_token
    if not token:
        raise Http404
    given = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[2]
    if not secrets.compare_digest(given.encode(), token.encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    content, content_type = metrics.page()
    return HttpResponse(content, content_type=content_type)
