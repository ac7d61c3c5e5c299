"""The paywall's own pages."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.views import redirect_to_login
from django.db.models import Count, Q
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from paywall import conf, durable, holders, ledger, site_key
from paywall.catalog import sample as sample_
from paywall.checkout import page, tickets
from paywall.checkout.balance import next_of, opened_at
from paywall.checkout.origin import same_origin
from paywall.decorators import payment_required
from paywall.entry import responses
from paywall.entry.ways import passes
from paywall.ledger import gifts, receipts
from paywall.ledger.balances import Whose, paid_by
from paywall.ledger.balances import mine as balances_of
from paywall.models import AccessPass, Receipt, Resource
from paywall.rails import registry
from paywall.rails.base import Hears
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


@csrf_exempt
@login_not_required
@require_POST
def hook(request: HttpRequest, rail: str) -> HttpResponse:
    """A rail's own party tells it something: Stripe, say."""
    hears = registry.able(rail, Hears)
    if hears is None:
        raise Http404("Nothing is heard there.")
    response = hears.hear(request)
    response.headers["Cache-Control"] = "no-store"
    return response


def _sample(request: HttpRequest) -> Resource:
    return get_object_or_404(Resource, slug=sample_.SLUG)


@require_safe
@payment_required(_sample)
def sample(request: HttpRequest) -> HttpResponse:
    """What `paywall_init` sells, to see that money arrives. Without that resource, nothing."""
    return JsonResponse({"paid": True, "next": "Put a price on something of your own."})


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
        "signer": site_key.address(),
        "refunds": [
            (Decimal(refund["amount"]).scaleb(scale).normalize(), refund["state"])
            for refund in document["refunds"]
        ],
        "json_url": f"{receipts.path_of(found.public_id)}?format=json",
    }


@require_safe
@never_cache
@login_not_required
def purchases(request: HttpRequest) -> HttpResponse:
    """What a signed-in user bought, or this browser, the newest first. Who is neither signs in."""
    user_id, holder = holders.user_id(request), holders.browser(request)
    if user_id is None and not holder:
        return redirect_to_login(request.get_full_path())
    using = durable.alias()
    own = AccessPass.objects.using(using).filter(holder=holder) if holder else []
    in_browser = [one.payment_id for one in own if one.payment_id]
    balances = balances_of(Whose(user_id, holder))
    in_browser += paid_by(balances) if balances else []
    of_user = Q() if user_id is None else Q(payment__user=user_id)
    mine = Receipt.objects.using(using).filter(of_user | Q(payment__in=in_browser))
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 18:
        mine = mine.filter(pk__lt=int(before))
    found = list(
        mine.select_related("payment", "payment__access_pass")
        .annotate(devices=Count("payment__access_pass__devices"))
        .order_by("-pk")[: PURCHASES + 1]
    )
    context = {
        "to_adopt": sum(one.user_id is None for one in own) if user_id is not None else 0,
        "balances": [(one, page.price(one.amount, one.currency)) for one in balances],
        "to_adopt_balance": user_id is not None and any(one.user_id is None for one in balances),
        "receipts": [(one, receipts.path_of(one.public_id)) for one in found[:PURCHASES]],
        "older": found[PURCHASES - 1].pk if len(found) > PURCHASES else None,
    }
    return render(request, "paywall/purchases.html", context)


@csrf_exempt
@login_not_required
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Give a browser the cookie by which it can come back, before it pays: what was paid for is
    its own then, also if the answer to the payment gets lost. Changes nothing else, so it needs no
    CSRF token."""
    response = HttpResponse(status=204, headers={"Cache-Control": "no-store"})
    if not holders.browser(request):
        holders.hand(request, response, holders.secret_of(request))
    return response


@require_POST
@login_required
def adopt(request: HttpRequest) -> HttpResponse:
    """What this browser bought before its user signed in is the user's from now on: they say so."""
    if holder := holders.browser(request):
        ledger.adopt(holder, holders.user_id(request))
    return redirect("paywall:purchases")


@require_POST
@login_not_required
def close_elsewhere(request: HttpRequest, pass_id: int) -> HttpResponse:
    """A pass of the user's or of this browser's is open in this browser alone from now on."""
    holder, user_id = holders.browser(request), holders.user_id(request)
    mine = AccessPass.objects.using(durable.alias()).filter(pk=pass_id)
    whose = Q(holder=holder) if holder else Q(pk__in=())
    if user_id is not None:
        whose |= Q(user=user_id)
    found = mine.filter(whose).first()
    if found is None:
        raise Http404("There is no such pass of yours.")
    ledger.keep_only(found.pk, holder)
    return redirect("paywall:purchases")


def _unlocked(request: HttpRequest, slug: str) -> HttpResponse:
    """What a part of a page, or a bundle, is paid for at: it delivers the pass, and shows the way
    to the page."""
    resource = Resource.objects.using(durable.alias()).get(slug=slug)
    where = getattr(resource.sold_object, "get_absolute_url", None)
    if responses.wants_page(request):
        if wanted := next_of(request):
            return redirect(wanted)
        if where is not None:
            return redirect(where())
    return JsonResponse({"unlocked": slug, "title": resource.title})


def _sold_in_part(request: HttpRequest, slug: str) -> Resource:
    return get_object_or_404(
        Resource.objects.using(durable.alias()).filter(access__in=Resource.PASSES), slug=slug
    )


unlock = login_not_required(payment_required(_sold_in_part)(require_safe(_unlocked)))


def _top_up(request: HttpRequest, slug: str) -> Resource:
    rows = Resource.objects.using(durable.alias()).filter(access=Resource.Access.BALANCE)
    return get_object_or_404(rows, slug=slug)


def _topped_up(request: HttpRequest, slug: str) -> HttpResponse:
    """The money is on the balance when this goes out: it is seen there."""
    where = opened_at(Resource.Access.BALANCE, request.get_full_path())
    if responses.wants_page(request):
        return redirect(where)
    return JsonResponse({"topped_up": slug, "balance": request.build_absolute_uri(where)})


top_up = login_not_required(payment_required(_top_up)(require_safe(_topped_up)))


@same_origin
@login_not_required
@require_POST
def gift(request: HttpRequest) -> HttpResponse:
    """A link to what this reader has bought, for somebody else."""
    settings = conf.get()
    wanted = tickets.read(request.POST.get("ticket", ""))
    paid_by = None if wanted is None else passes.payment_of(request, wanted.resource_id)
    if wanted is None or paid_by is None or not settings.gift_links:
        raise Http404("There is nothing of yours to give away here.")
    made = gifts.give(
        paid_by,
        wanted.url,
        uses=settings.gift_uses,
        seconds=settings.gift_days * 86_400,
        most=settings.gift_links,
        by=holders.user_id(request),
    )
    if made is None:
        told = {"told": gettext("You have given this away as often as you can.")}
        return render(request, "paywall/checkout/told.html", told, status=403)
    context = {"gift": made, "link": gifts.link(made), "title": made.resource.title}
    response: HttpResponse = render(request, "paywall/checkout/given.html", context)
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


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
    if not metrics.is_installed():
        return HttpResponse('pip install "django-paywall[prometheus]"\n', status=503)
    content, content_type = metrics.page()
    return HttpResponse(content, content_type=content_type)
