"""The paywall's own pages."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from django.http import Http404, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from paywall import conf, metrics, receipts, status

if TYPE_CHECKING:
    from django.http import HttpRequest


@require_safe
def receipt(request: HttpRequest, public_id: str) -> JsonResponse:
    """A receipt as JSON, for whoever was given its unguessable URL."""
    found = receipts.find(public_id)
    if found is None:
        raise Http404("There is no such receipt.")
    response = JsonResponse(receipts.document(found), json_dumps_params={"ensure_ascii": False})
    # It names its payment's state, which moves on.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 while the engine is keeping up, 503 when it is not: for a monitor. Says no more."""
    keeping_up = status.is_keeping_up()
    response = JsonResponse(
        {"status": "ok" if keeping_up else "behind"}, status=200 if keeping_up else 503
    )
    response.headers["Cache-Control"] = "no-store"
    return response


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
