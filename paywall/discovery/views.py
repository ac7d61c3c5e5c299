"""The list of what is sold, served: public, kept by caches for five minutes, and 304 if it is the
same.

Each has a switch in `FOUND_BY`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_cache_control, set_response_etag
from django.views.decorators.http import require_safe

from paywall import conf
from paywall.checkout import page
from paywall.models import Resource

from . import documents, listing, rsl

if TYPE_CHECKING:
    from django.http import HttpRequest

    View = Callable[[HttpRequest], HttpResponse]

KEPT_BY_OTHERS_FOR = 300


def found_by(name: str) -> Callable[[View], View]:
    """A public document that the owner may have switched off."""

    def decorate(view: View) -> View:
        @login_not_required
        @require_safe
        @functools.wraps(view)
        def served(request: HttpRequest) -> HttpResponse:
            if name not in conf.get().found_by:
                raise Http404("Switched off.")
            response = view(request)
            set_response_etag(response)
            patch_cache_control(response, public=True, max_age=KEPT_BY_OTHERS_FOR)
            response.headers["Access-Control-Allow-Origin"] = "*"
            same: Any = get_conditional_response(request, response.headers["ETag"], None, response)
            return cast("HttpResponse", same)

        return served

    return decorate


@found_by("x402")
def x402(request: HttpRequest) -> HttpResponse:
    return _json(documents.well_known(request.build_absolute_uri))


@found_by("openapi")
def openapi(request: HttpRequest) -> HttpResponse:
    title = conf.get().realm or request.get_host()
    return _json(documents.openapi(request.build_absolute_uri, title))


@found_by("llms")
def llms(request: HttpRequest) -> HttpResponse:
    text = f"# {conf.get().realm or request.get_host()}\n\n"
    return _text(text + documents.llms(request.build_absolute_uri))


@found_by("robots")
def robots(request: HttpRequest) -> HttpResponse:
    return _text(documents.robots(request.build_absolute_uri))


@found_by("bazaar")
def resources(request: HttpRequest) -> HttpResponse:
    """`/discovery/resources`, as facilitators serve it."""
    limit, offset = _number(request, "limit", 100), _number(request, "offset", 0)
    absolute = request.build_absolute_uri
    return _json(documents.page_of_items(absolute, min(limit, 1_000), offset))


@found_by("license")
def license_document(request: HttpRequest) -> HttpResponse:
    """RSL 1.0. 404 where the owner has said nothing of it."""
    if not listing.terms():
        raise Http404("There are no terms for machines.")
    text = rsl.document(request.build_absolute_uri)
    return HttpResponse(text, content_type=rsl.MEDIA_TYPE)


@found_by("prices")
def prices(request: HttpRequest) -> HttpResponse:
    """For people."""
    sold = [
        (one, ", ".join(page.price(*price, at_most=one.by_use) for price in one.prices))
        for one in listing.all_()
    ]
    context = {
        "sold": [two for two in sold if two[0].access != Resource.Access.BALANCE],
        "top_ups": [two for two in sold if two[0].access == Resource.Access.BALANCE],
    }
    return render(request, "paywall/prices.html", context)


def _number(request: HttpRequest, name: str, otherwise: int) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else otherwise


def _json(document: object) -> HttpResponse:
    return HttpResponse(json.dumps(document), content_type="application/json")


def _text(text: str) -> HttpResponse:
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
