"""What goes out: challenges, refusals and the headers on what was paid."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.http import HttpResponse
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, get_urlconf
from django.utils.cache import patch_cache_control, patch_vary_headers

from paywall import conf
from paywall.django_internals import keep_out_of_request_log
from paywall.entry import asked, crawlers
from paywall.entry.exposed import FREE_REMAINING, exposed
from paywall.exceptions import SENTENCES, Code, retry_of
from paywall.mounts import path_of
from paywall.protocols import registry as protocols
from paywall.protocols.problem import problem
from paywall.vocabulary import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import ForSale
    from paywall.exceptions import Refused, Unavailable
    from paywall.vocabulary import Asked

_JSON, _PROBLEM = "application/json", "application/problem+json"


def varies_on() -> list[str]:
    """The request headers that decide what is answered."""
    return [*protocols.request_headers(), "Accept", "Sec-Fetch-Mode", "Cookie"]


@conf.kept
def _exposed_here() -> str:
    return exposed(protocols.all_())


@functools.cache
def _links_of(urlconf: str) -> str:
    """Where what is sold is listed, as a 402 links to it (RFC 8288, RFC 8631)."""
    found = []
    for name, rel in (
        ("paywall_discovery:openapi", 'service-desc"; type="application/json'),
        ("paywall:prices", "payment"),
    ):
        if path := path_of(name, urlconf=urlconf):
            found.append(f'<{path}>; rel="{rel}"')
    return ", ".join(found)


@conf.kept
def _links_to_lists() -> bool:
    return "link" in conf.get().found_by


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
    if getattr(request, "paywall_as_data", False):
        return False  # a developer's page of the API: it shows what a program gets
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
    return challenge_to(asked.of(request), sale, request.META.get("HTTP_ACCEPT", ""))


def challenge_to(seen: Asked, sale: ForSale, accept: str) -> HttpResponse:
    """The same, for who is not Django's request yet."""
    # What a HEAD is answered has no body (RFC 9110, section 9.3.2), and servers say so.
    body = b"" if seen.method == "HEAD" else sale.challenge.body(seen.url)
    return as_challenge(_problem(body, accept), headers_of(sale, seen))


def headers_of(sale: ForSale, seen: Asked, code: Code | None = None) -> dict[str, str]:
    """A challenge's headers: of every protocol, and what crawlers are told."""
    told = sale.challenge.headers(seen) if code is None else sale.challenge.headers(seen, code)
    return {**told, **crawlers.headers_of(sale), **crawlers.terms_of(sale)}


def refusal(
    request: HttpRequest, sale: ForSale, refused: Refused, outcome: Outcome
) -> HttpResponse:
    """402 (or 400) with the reason, and the offers once more; without them for who has paid."""
    status, type_ = protocols.refusal(request.META, refused.status, refused.code)
    why = crawlers.headers_of_refusal(request, refused.code)
    if status in (403, 409):
        response = _without_offer(
            status, refused.code, refused.detail, outcome, receipt=refused.receipt, type_=type_
        )
        _put_beside(response, why)
        return response
    seen = asked.of(request)
    more = {"transaction": refused.reference, "retry": retry_of(refused.code, status)}
    body = sale.challenge.refusal_body(
        seen.url, status, refused.code, refused.detail, type_=type_, **more
    )
    response = HttpResponse(body, content_type=_JSON, status=status)
    as_challenge(response, headers_of(sale, seen, refused.code))
    _put_beside(response, why)
    put(response, protocols.outcome_headers(outcome))
    return response


def unavailable(reason: Unavailable, outcome: Outcome | None) -> HttpResponse:
    """503 (or 429) with Retry-After, and no challenge: the buyer must not pay again."""
    return retry_later(_without_offer(reason.status, reason.code, reason.detail, outcome))


def not_for_sale() -> HttpResponse:
    """503: the owner's log says why."""
    code = Code.NOT_FOR_SALE
    return retry_later(_without_offer(503, code, SENTENCES[code], None))


def conflict(refused: Refused) -> HttpResponse:
    """409 and the like, of a site's own code: without an offer."""
    return _without_offer(refused.status, refused.code, refused.detail, None)


def as_problem(request: HttpRequest, body: bytes) -> HttpResponse:
    """A 402 with that JSON, as the client says that it takes it."""
    return _problem(body, request.META.get("HTTP_ACCEPT", ""))


def _problem(body: bytes, accept: str) -> HttpResponse:
    content_type = _PROBLEM if _PROBLEM in accept else _JSON
    return HttpResponse(body, content_type=content_type, status=402)


def method_not_allowed(allowed: Iterable[str]) -> HttpResponse:
    """405: the path is sold, and not for this method."""
    code = Code.METHOD_NOT_SOLD
    response = _without_offer(405, code, SENTENCES[code], None)
    response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def mark_paid(response: HttpResponseBase, outcome: Outcome, receipt_url: str | None) -> None:
    """Put what became of the payment on the view's own response, which stays as it is."""
    keep_private(response)
    outcome = replace(outcome, status=response.status_code)
    put(response, protocols.outcome_headers(outcome))
    headers = response.headers
    if receipt_url:
        _link(response, f'<{receipt_url}>; rel="receipt"; type="{_JSON}"')
    already = headers.get("Access-Control-Expose-Headers")
    headers["Access-Control-Expose-Headers"] = (
        f"{already}, {_exposed_here()}" if already else _exposed_here()
    )


def _put_beside(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    """Set them; challenges (RFC 9110, section 11.6.1) beside those that are there."""
    for name, value in headers.items():
        there = response.headers.get(name) if name == "WWW-Authenticate" else None
        response.headers[name] = f"{there}, {value}" if there else value


def _link(response: HttpResponseBase, links: str) -> None:
    """Add to its `Link` (RFC 8288)."""
    there = response.headers.get("Link")
    response.headers["Link"] = f"{there}, {links}" if there else links


def say_terms(response: HttpResponseBase, sale: ForSale) -> None:
    """Say on what goes out what machines may do with it, where the owner says that."""
    told = crawlers.terms_of(sale)
    if "Link" in told:
        _link(response, told.pop("Link"))
    put(response, told)


def mark_free(response: HttpResponseBase, left: int) -> None:
    """Say that this one was free, and how many more are."""
    keep_private(response)
    response.headers[FREE_REMAINING] = str(left)


def keep_private(response: HttpResponseBase) -> None:
    """Paid content is its buyer's: no shared cache may keep it for the next one."""
    patch_cache_control(response, private=True)
    patch_vary_headers(response, varies_on())


def as_answer(response: HttpResponse) -> HttpResponse:
    """With the headers of every answer of ours, and without a line in the log of errors."""
    put(response, _usual())
    keep_out_of_request_log(response)
    return response


def put(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    """Set them, whatever stood there."""
    for name, value in headers.items():
        response.headers[name] = value


def as_challenge(response: HttpResponse, challenge: Mapping[str, str]) -> HttpResponse:
    """With a challenge's headers."""
    put(response, challenge)
    if _links_to_lists() and (links := _links_of(get_urlconf() or django_settings.ROOT_URLCONF)):
        _link(response, links)
    # A challenge is daily business; what is not, is logged with the payment's id.
    return as_answer(response)


def _without_offer(
    status: int,
    code: Code,
    detail: str,
    outcome: Outcome | None,
    *,
    receipt: str = "",
    type_: str = "about:blank",
) -> HttpResponse:
    """A refusal that asks nobody to pay."""
    transaction = outcome.reference if outcome else ""
    body: dict[str, Any] = {
        **protocols.without_offer(code),
        **problem(
            status,
            code,
            detail,
            type_=type_,
            transaction=transaction,
            receipt=receipt,
            retry=retry_of(code, status),
        ),
    }
    response = as_answer(HttpResponse(json.dumps(body), content_type=_JSON, status=status))
    if outcome is not None:
        put(response, protocols.outcome_headers(outcome))
    if receipt:
        response.headers["Link"] = f'<{receipt}>; rel="receipt"; type="{_JSON}"'
    return response


def retry_later(response: HttpResponse) -> HttpResponse:
    """Say when to come again."""
    response.headers["Retry-After"] = str(conf.get().retry_after)
    return response
