"""What the page's buttons ask for: orders, and what became of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from paywall import holders, ledger
from paywall.catalog import audiences, offers
from paywall.checkout import methods, page, tickets
from paywall.checkout.balance import opened_at
from paywall.checkout.methods import Named, Start, TakesOrders
from paywall.checkout.origin import same_origin
from paywall.exceptions import NotForSale, Refused, Unavailable
from paywall.holders.throttle import ORDERS
from paywall.ledger import receipts
from paywall.rails import registry as rails

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.checkout.tickets import Wanted
    from paywall.models import Order, Payment

LONGEST = 200
"""Characters of what a buyer may name as a payment."""


@same_origin
@login_not_required
@require_POST
def start(request: HttpRequest, method: str) -> HttpResponse:
    """Begin to pay outside of the page: an order, for this browser. One that is still open for the
    same thing is shown again."""
    taker = _taker(method)
    wanted = tickets.read(request.POST.get("ticket", ""))
    if wanted is None:
        return told(request, gettext("This page is too old. Open it again, and pay then."), 400)
    if ORDERS.is_reached(request):
        return told(request, gettext("Too many orders from here. Try again later."), 429)
    secret = holders.secret_of(request)
    try:
        sale = offers.get(wanted.resource_id)
        sale = as_shown(request, sale, wanted)
        audiences.may_pay(request, sale)
        purpose = ledger.Purpose(
            sale.resource_id, "GET", wanted.url, sale.policy, holders.hash_of(secret)
        )
        choice = request.POST.get("choice", "0")
        number = int(choice) if choice.isdecimal() and len(choice) < 4 else 0
        user_id = holders.user_id(request)
        started = taker.start(Start(request, sale, purpose, user_id, number))
    except NotForSale:
        return told(request, gettext("This cannot be bought at the moment."), 503)
    except Unavailable as reason:
        text = gettext("Payments cannot be taken at the moment.")
        response = told(request, text, reason.status)
        # The order may be there: the next click of this browser goes on with it.
        holders.hand(request, response, secret)
        return response
    except Refused as refused:
        return told(request, refused.detail, refused.status)
    ORDERS.count(request)
    if _wants_json(request):
        state = _state(request, taker, started.order)
        response = JsonResponse({**state, "goes_to": started.url})
    elif started.url:
        # Not a redirect: the page's policy lets its forms lead to this site alone.
        context = {"url": started.url, "back": started.order.url}
        response = render(request, "paywall/checkout/elsewhere.html", context)
    else:
        response = redirect("paywall:order", started.order.public_id)
    holders.hand(request, response, secret)
    return private(response)


@same_origin
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HttpRequest, public_id: str) -> HttpResponse:
    """An order of this browser's: how it is paid, and what became of it. A POST names its
    payment."""
    holder = holders.browser(request)
    found = ledger.order_of(holder, public_id) if public_id.isprintable() else None
    if found is None:
        raise Http404("There is no such order of this browser.")
    taker = _taker_of(found)
    named = Named(True, "")
    if request.method == "POST":
        text = request.POST.get("payment", "").strip()
        named = taker.named(found, text[:LONGEST])
    elif found.payment_id is None:
        taker.look(found)
    found = ledger.order_of(holder, public_id) or found
    if _wants_json(request):
        return private(JsonResponse(_state(request, taker, found, named)))
    nonce, back = page.new_nonce(), opened_at(found.resource.access, found.url)
    context = {
        **_context(taker, found),
        "named": named,
        "csp_nonce": nonce,
        "script": static(page.SCRIPT),
        "checkout": page.for_script(found.url, back),
        "back": back,
        "method": taker,
        "methods_script": static(getattr(taker, "script", "")),
    }
    response = render(request, "paywall/checkout/order.html", context)
    page.protect(response, nonce)
    return private(response)


@login_not_required
@require_safe
def returned(request: HttpRequest, public_id: str) -> HttpResponse:
    """A buyer comes back from where an order is paid: to what they bought, if it is paid already,
    or to the order's page, which looks for it."""
    holder = holders.browser(request)
    found = ledger.order_of(holder, public_id) if public_id.isprintable() else None
    if found is None:
        raise Http404("There is no such order of this browser.")
    if found.payment_id is None:
        _taker_of(found).look(found)
        found = ledger.order_of(holder, public_id) or found
    if found.payment_id is None:
        return private(redirect("paywall:order", public_id))
    return private(redirect(opened_at(found.resource.access, found.url)))


def as_shown(request: HttpRequest, sale: ForSale, wanted: Wanted) -> ForSale:
    """As the page offered it, with a coupon say; if that is over, as it is sold now."""
    sources = [sale, *(tier.sale for tier in sale.tiers if tier.sale is not None)]
    every = [offer for source in sources for offer in source.offers]
    shown = tuple(offer for offer in every if offer.price_id in wanted.price_ids)
    prices = {offer.currency: offer.price for offer in shown}
    if not shown:
        return audiences.quote(request, sale).sale
    return offers.at(replace(sale, offers=shown, prices=prices), wanted.own_prices)


def _context(taker: TakesOrders, order: Order) -> dict[str, Any]:
    return {
        "order": order,
        "resource": order.resource,
        "is_paid": order.payment_id is not None,
        "receipt": receipts.path(order.payment) if order.payment else None,
        "misfits": [_misfit(payment) for payment in order.misfits.order_by("pk")],
        "status_url": reverse("paywall:order", args=[order.public_id]),
        "way": taker.shows(order) or {},
    }


def _misfit(payment: Payment) -> Mapping[str, Any]:
    """Money that came for an order and does not fit it, for the buyer."""
    offer = payment.taken_offer
    refunded = payment.refunds.filter(state="confirmed").exists()
    return {
        "amount": page.units(payment.atomic_amount, offer.decimals),
        "symbol": offer.symbol,
        "reference": payment.reference,
        "url": rails.public_url(payment.rail, payment.network, payment.reference),
        "refunded": refunded,
    }


def _state(
    request: HttpRequest, taker: TakesOrders, order: Order, named: Named | None = None
) -> dict[str, Any]:
    """An order for the page's script."""
    named = named or Named(True, "")
    context = _context(taker, order)
    receipt = context["receipt"]
    return {
        "order": order.public_id,
        "state": order.state,
        "paid": context["is_paid"],
        "status": context["status_url"],
        "receipt": request.build_absolute_uri(receipt) if receipt else None,
        "told": named.told,
        "found": named.is_found,
        "html": render_to_string(taker.order_template, context, request),
    }


def _taker(name: str) -> TakesOrders:
    for method in methods.all_():
        if method.name == name and isinstance(method, TakesOrders):
            return method
    raise Http404("Nothing can be paid so.")


def _taker_of(order: Order) -> TakesOrders:
    for method in methods.all_():
        if isinstance(method, TakesOrders) and method.shows(order) is not None:
            return method
    raise Http404("This order's way to pay is not known any more.")


def _wants_json(request: HttpRequest) -> bool:
    return str(request.META.get("HTTP_ACCEPT", "")).startswith("application/json")


def told(request: HttpRequest, text: str, status: int) -> HttpResponse:
    """A sentence for who pressed a button: as a page, or for its script."""
    if _wants_json(request):
        return private(JsonResponse({"detail": text}, status=status))
    context = {"told": text}
    return private(render(request, "paywall/checkout/told.html", context, status=status))


def private(response: HttpResponse) -> HttpResponse:
    """For this reader alone, and no search engine."""
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Robots-Tag"] = "noindex"
    response.headers["Referrer-Policy"] = "same-origin"
    return response
