"""What goes out: challenges, refusals and the headers on what was paid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.http import HttpResponse
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.urls import NoReverseMatch
from django.utils.cache import patch_cache_control, patch_vary_headers

from paywall import conf
from paywall.django_internals import keep_out_of_request_log
from paywall.exceptions import SENTENCES, Code
from paywall.money import money
from paywall.protocols import registry as protocols
from paywall.protocols.problem import problem
from paywall.rails import registry as rails
from paywall.vocabulary import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import ForSale
    from paywall.exceptions import Refused, Unavailable
    from paywall.protocols.base import Protocol

FREE_REMAINING = "Paywall-Free-Remaining"
_JSON, _PROBLEM = "application/json", "application/problem+json"


def exposed(spoken: Iterable[Protocol]) -> str:
    """The response headers that scripts of other origins have to see, of these protocols."""
    names = dict.fromkeys(name for protocol in spoken for name in protocol.response_headers)
    return ", ".join([*names, "Link", FREE_REMAINING, "Retry-After"])


def varies_on() -> list[str]:
    """The request headers that decide what is answered."""
    return [*protocols.request_headers(), "Accept", "Cookie"]


@conf.kept
def _exposed_here() -> str:
    return exposed(protocols.all_())


@conf.kept
def _usual() -> dict[str, str]:
    """Headers of every answer of ours that is not the view's own."""
    return {
        "Cache-Control": "no-store",
        "Vary": ", ".join(varies_on()),
        "Access-Control-Expose-Headers": _exposed_here(),
    }


def wants_page(request: HttpRequest) -> bool:
    """Whether a person's browser asks: it navigates, or says that it takes HTML."""
    meta = request.META
    if meta.get("HTTP_SEC_FETCH_MODE") == "navigate":
        return True
    accept: str = meta.get("HTTP_ACCEPT", "")
    if "html" not in accept:
        return False
    return request.accepts("text/html") or request.accepts("application/xhtml+xml")


def is_redirect_to_login(
    request: HttpRequest, response: HttpResponseBase, login_url: str | None = None
) -> bool:
    """Whether a response sends its reader to wherever the site signs people in: Django's
    `LOGIN_URL`, the admin's own page, or the one that the view names."""
    if response.status_code not in (301, 302, 303, 307, 308):
        return False
    to = urlsplit(response.headers.get("Location", ""))
    for name in (login_url, django_settings.LOGIN_URL, "admin:login"):
        try:
            login = urlsplit(resolve_url(name)) if name else None
        except (NoReverseMatch, ValueError):
            continue
        if (
            login is not None
            and to.path == login.path
            and to.netloc in ("", login.netloc or request.get_host())
        ):
            return True
    return False


def challenge(request: HttpRequest, sale: ForSale) -> HttpResponse:
    """402 with the offers, for a program. The content is made once a second, not here."""
    url = request.build_absolute_uri()
    content_type = _PROBLEM if _PROBLEM in request.META.get("HTTP_ACCEPT", "") else _JSON
    response = HttpResponse(sale.challenge.body(url), content_type=content_type, status=402)
    return _as_challenge(response, sale.challenge.headers(url))


def challenge_page(request: HttpRequest, sale: ForSale) -> HttpResponse:
    """The same 402 with the same headers, and a page for a person. Renders a template."""
    url = request.build_absolute_uri()
    context = {
        "resource": sale,
        "offers": [
            {
                "price": money(offer.price),
                "currency": offer.currency,
                "symbol": offer.symbol,
                "network": rails.network(offer.network).title,
                "testnet": rails.network(offer.network).testnet,
            }
            for offer in sale.offers
        ],
        "url": url,
    }
    page = render_to_string("paywall/payment_required.html", context, request)
    return _as_challenge(HttpResponse(page, status=402), sale.challenge.headers(url))


def refusal(
    request: HttpRequest, sale: ForSale, refused: Refused, outcome: Outcome
) -> HttpResponse:
    """402 (or 400) with the reason, and the offers once more; without them for who has paid."""
    if refused.status in (403, 409):
        return _without_offer(
            refused.status, refused.code, refused.detail, outcome, receipt=refused.receipt
        )
    url = request.build_absolute_uri()
    body = sale.challenge.refusal_body(
        url, refused.status, refused.code, refused.detail, transaction=refused.reference
    )
    response = HttpResponse(body, content_type=_JSON, status=refused.status)
    _as_challenge(response, sale.challenge.headers(url, refused.code))
    _put(response, protocols.outcome_headers(outcome))
    return response


def unavailable(reason: Unavailable, outcome: Outcome | None) -> HttpResponse:
    """503 (or 429) with Retry-After, and no challenge: the buyer must not pay again."""
    return _retry_later(_without_offer(reason.status, reason.code, reason.detail, outcome))


def not_for_sale() -> HttpResponse:
    """503: the owner's log says why."""
    code = Code.NOT_FOR_SALE
    return _retry_later(_without_offer(503, code, SENTENCES[code], None))


def method_not_allowed(allowed: Iterable[str]) -> HttpResponse:
    """405: the path is sold, and not for this method."""
    code = Code.METHOD_NOT_SOLD
    response = _without_offer(405, code, SENTENCES[code], None)
    response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def mark_paid(response: HttpResponseBase, outcome: Outcome, receipt_url: str | None) -> None:
    """Put what became of the payment on the view's own response, which stays as it is."""
    keep_private(response)
    _put(response, protocols.outcome_headers(outcome))
    headers = response.headers
    if receipt_url:
        link = f'<{receipt_url}>; rel="receipt"; type="{_JSON}"'
        headers["Link"] = f"{headers['Link']}, {link}" if "Link" in headers else link
    already = headers.get("Access-Control-Expose-Headers")
    headers["Access-Control-Expose-Headers"] = (
        f"{already}, {_exposed_here()}" if already else _exposed_here()
    )


def mark_free(response: HttpResponseBase, left: int) -> None:
    """Say that this one was free, and how many more are."""
    keep_private(response)
    response.headers[FREE_REMAINING] = str(left)


def keep_private(response: HttpResponseBase) -> None:
    """Paid content is its buyer's: no shared cache may keep it for the next one."""
    patch_cache_control(response, private=True)
    patch_vary_headers(response, varies_on())


def _put(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    """Set them, whatever stood there."""
    for name, value in headers.items():
        response.headers[name] = value


def _as_challenge(response: HttpResponse, challenge: Mapping[str, str]) -> HttpResponse:
    _put(response, challenge)
    _put(response, _usual())
    # A challenge is daily business; what is not, is logged with the payment's id.
    keep_out_of_request_log(response)
    return response


def _without_offer(
    status: int, code: Code, detail: str, outcome: Outcome | None, *, receipt: str = ""
) -> HttpResponse:
    """A refusal that asks nobody to pay."""
    transaction = outcome.reference if outcome else ""
    body: dict[str, Any] = {
        **protocols.without_offer(code),
        **problem(status, code, detail, transaction=transaction, receipt=receipt),
    }
    response = HttpResponse(json.dumps(body), content_type=_JSON, status=status)
    _put(response, _usual())
    if outcome is not None:
        _put(response, protocols.outcome_headers(outcome))
    if receipt:
        response.headers["Link"] = f'<{receipt}>; rel="receipt"; type="{_JSON}"'
    keep_out_of_request_log(response)
    return response


def _retry_later(response: HttpResponse) -> HttpResponse:
    response.headers["Retry-After"] = str(conf.get().retry_after)
    return response
