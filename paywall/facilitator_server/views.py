"""The three endpoints of an x402 facilitator, for who has a token. What they answer is a rail's."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from paywall import conf
from paywall.rails import registry
from paywall.rails.base import Facilitates

if TYPE_CHECKING:
    from django.http import HttpRequest

View = Callable[["HttpRequest"], HttpResponse]


def for_clients(view: Callable[[HttpRequest, str], HttpResponse]) -> View:
    """Only who has a token of `FACILITATOR_CLIENTS`; the view learns the client's name."""

    @login_not_required
    @csrf_exempt
    @functools.wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        client = _client(request)
        if client is None:
            refusal = JsonResponse({"error": "unauthorized"}, status=401)
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="facilitator"'
            return refusal
        response = view(request, client)
        response.headers["Cache-Control"] = "no-store"
        return response

    return guarded


@require_POST
@for_clients
def verify(request: HttpRequest, client: str) -> HttpResponse:
    """Is the payment good?"""
    return _rail().answer_verify(request, client)


@require_POST
@for_clients
def settle(request: HttpRequest, client: str) -> HttpResponse:
    """Settle, once: the same payment asked for again gets the answer of the first time."""
    return _rail().answer_settle(request, client)


@require_safe
@for_clients
def supported(request: HttpRequest, client: str) -> HttpResponse:
    """What can be settled here."""
    return _rail().answer_supported(request, client)


def _rail() -> Facilitates:
    for rail in registry.who_can(Facilitates):
        return rail
    raise Http404("Nothing is settled for others here.")


def _client(request: HttpRequest) -> str | None:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    found = None
    for name, known in conf.get().facilitator_clients.items():
        if known and secrets.compare_digest(known.encode(), token.encode()):
            found = name
    return found
