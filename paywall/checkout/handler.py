"""Our own payment method for the browser's payment sheet (W3C Payment Handler): its manifests, its
worker, and the small wallet that it opens.

Chromium fetches all of it just in time, when somebody pays: the method's URL names a manifest, that
one an app, and the app a service worker, which opens the wallet's window and hands over what was
signed there. The key is made and kept on the reader's device; the site never sees it.
"""

from __future__ import annotations

import json
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from paywall import conf, durable
from paywall import qr as codes
from paywall.checkout import page, texts
from paywall.checkout.origin import is_our_own
from paywall.effects import run
from paywall.holders.throttle import BALANCES
from paywall.models import Account
from paywall.rails import registry
from paywall.rails.base import SignsIn, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

WORKER = "paywall/checkout/handler_worker.js"
LONGEST = 300
"""Characters of what is made a QR code."""


def is_offered() -> bool:
    """Whether the site has a payment method of its own."""
    return conf.get().payment_handler


def method_url(request: HttpRequest) -> str:
    """By what the payment method is known: this site's, or the one that the settings name."""
    return conf.get().payment_handler_url or request.build_absolute_uri(reverse("paywall:handler"))


def of_the_method(
    view: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """A view of the payment method: for everyone, to be read, on sites that offer it."""

    @wraps(view)
    def seen(request: HttpRequest) -> HttpResponse:
        if not is_offered():
            raise Http404("This site has no payment method of its own.")
        return view(request)

    return login_not_required(require_safe(seen))


@of_the_method
def method(request: HttpRequest) -> HttpResponse:
    """The payment method itself: browsers follow its `Link`."""
    manifest = request.build_absolute_uri(reverse("paywall:handler_manifest"))
    response = HttpResponse(status=200, content_type="text/plain")
    response.headers["Link"] = f'<{manifest}>; rel="payment-method-manifest"'
    return response


@of_the_method
def manifest(request: HttpRequest) -> JsonResponse:
    """The payment method manifest (W3C Payment Method Manifest)."""
    app = request.build_absolute_uri(reverse("paywall:handler_app"))
    return JsonResponse({"default_applications": [app]})


@of_the_method
def app(request: HttpRequest) -> HttpResponse:
    """The web app manifest: what the browser shows of the wallet, and which worker it is."""
    name = gettext("Wallet of %s") % request.get_host()
    scope = reverse("paywall:handler")
    icon = request.build_absolute_uri(static("paywall/checkout/handler.png"))
    document = {
        "name": name,
        "short_name": name,
        "start_url": reverse("paywall:handler_wallet"),
        "scope": scope,
        "display": "standalone",
        "icons": [{"src": icon, "sizes": "96x96", "type": "image/png"}],
        "serviceworker": {
            "src": reverse("paywall:handler_worker"),
            "scope": scope,
            "use_cache": False,
        },
    }
    return JsonResponse(document, content_type="application/manifest+json")


@cache
def _worker() -> str:
    return Path(__file__).parent.parent.joinpath("static", WORKER).read_text()


@of_the_method
def worker(request: HttpRequest) -> HttpResponse:
    """The service worker, which has to come from where its scope is. Which other sites may pay with
    the wallet stands in it."""
    origins = [f"{request.scheme}://{request.get_host()}", *conf.get().payment_handler_origins]
    told = json.dumps({"origins": origins, "wallet": reverse("paywall:handler_wallet")})
    response = HttpResponse(
        f"const PAYWALL = {told};\n{_worker()}", content_type="text/javascript; charset=utf-8"
    )
    response.headers["Cache-Control"] = "no-cache"
    return response


@of_the_method
def wallet(request: HttpRequest) -> HttpResponse:
    """The wallet's window, and its own page: to look at it, top it up, or take the key away."""
    nonce = page.new_nonce()
    context = {
        "csp_nonce": nonce,
        "script": static("paywall/checkout/handler_wallet.js"),
        "data": {
            "noble": static("paywall/vendor/noble.min.js"),
            "balance": reverse("paywall:handler_balance"),
            "qr": reverse("paywall:handler_qr"),
            "scope": reverse("paywall:handler"),
            "worker": reverse("paywall:handler_worker"),
            "accounts": _accounts(),
            "texts": texts.told(texts.WALLET),
        },
    }
    response = render(request, "paywall/checkout/handler_wallet.html", context)
    page.protect(response, nonce)
    response.headers["Cache-Control"] = "no-store"
    return response


def _accounts() -> list[dict[str, object]]:
    """In what the wallet can be topped up."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for account in Account.objects.using(durable.alias()).open():
        rail = registry.able(account.rail, SignsIn)
        asset = account.terms.get("asset")
        if rail is None or not asset:
            continue
        network = registry.network(account.network)
        found[account.network, asset] = {
            "network": account.network,
            "title": network.title,
            "testnet": network.testnet,
            "asset": asset,
            "symbol": account.symbol,
            "decimals": account.decimals,
            "currency": account.currency,
        }
    return list(found.values())


@of_the_method
def balance(request: HttpRequest) -> JsonResponse:
    """What a wallet has of one of the site's moneys, in atomic units, by the site's node."""
    if not is_our_own(request) or BALANCES.is_reached(request):
        return JsonResponse({"detail": "Not now."}, status=429)
    BALANCES.count(request)
    network, asset = request.GET.get("network", ""), request.GET.get("asset", "")
    payer = request.GET.get("address", "")
    rows = Account.objects.using(durable.alias()).filter(network=network)
    account = next((row for row in rows.open() if row.terms.get("asset") == asset), None)
    rail = registry.able(account.rail, SignsIn) if account is not None else None
    units = None
    if account is not None and rail is not None and registry.spelled(payer):
        try:
            units = run(rail.holdings(account.terms, account.network, payer))
        except Unreachable:
            units = None
    response = JsonResponse({"units": None if units is None else str(units)})
    response.headers["Cache-Control"] = "no-store"
    return response


@of_the_method
def qr(request: HttpRequest) -> HttpResponse:
    """A payment request as a QR code, for another device to top the wallet up from."""
    text = request.GET.get("text", "")
    if len(text) > LONGEST or urlsplit(text).scheme != "ethereum":
        raise Http404("Only payment requests are drawn.")
    return HttpResponse(codes.drawn(text), content_type="image/svg+xml")
