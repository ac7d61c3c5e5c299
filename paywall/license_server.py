"""Tokens for what is sold: RSL's Open License Protocol, an OAuth 2.0 token endpoint (RFC 6749) and
introspection (RFC 7662).

A client asks for a token for one URL. Where it has an agreement it gets one; else this endpoint is
sold at the price of what the URL sells, and the token is what was paid for.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.http import Http404, HttpResponse, JsonResponse
from django.test import RequestFactory
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from paywall.catalog import offers, path_rules
from paywall.decorators import finder_of, payment_required
from paywall.effects import run
from paywall.exceptions import NotForSale
from paywall.ledger import licenses
from paywall.models import Resource

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import Reference
    from paywall.models import LicenseClient, LicenseToken

GRANTS = ("client_credentials", "rsl")
"""As RSL 1.0 has it, and its draft had it."""


class _Refused(Exception):
    """An error of OAuth (RFC 6749, section 5.2)."""

    def __init__(self, error: str, why: str, status: int = 400) -> None:
        self.error, self.why, self.status = error, why, status


def _without_transaction(view: Any) -> Any:
    """Not in a transaction of `ATOMIC_REQUESTS`: who takes the money is asked inside, and what the
    ledger writes is a transaction of its own."""
    view._non_atomic_requests = set(connections)
    return view


@_without_transaction
@csrf_exempt
@login_not_required
@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """A token for `resource`, to who may have one: by agreement, or for money."""
    try:
        client = _client(request)
        if request.POST.get("grant_type") not in GRANTS:
            raise _Refused("unsupported_grant_type", "Send grant_type=client_credentials.")
        resource = _resource(request, request.POST.get("resource", ""))
        if licenses.has_agreement(client, resource.pk):
            sale = offers.get(resource.pk)
            text, made = licenses.issue(client, sale, None, by_agreement=True)
            return _told(text, made)
    except NotForSale as error:
        return _error(_Refused("temporarily_unavailable", str(error), 503))
    except _Refused as refused:
        return _error(refused)
    seen: Any = request
    seen.paywall_license_client, seen.paywall_license_resource = client, resource
    response: HttpResponse = _sell(request)
    return response


@payment_required(lambda request: request.paywall_license_resource)
@_without_transaction
def _sell(request: Any) -> HttpResponse:
    """What is paid for here is the token."""
    payment = getattr(request, "paywall_payment", None)
    if payment is None:
        # Let in by a pass, a rule, a quota: that is worth what it is, and no token besides.
        return _error(_Refused("access_denied", "Ask for the URL itself: it is open to you.", 403))
    return _told(*licenses.issue(request.paywall_license_client, request.paywall_sale, payment.pk))


def _told(text: str, made: LicenseToken) -> HttpResponse:
    seconds = int((made.expires_at - timezone.now()).total_seconds())
    response = JsonResponse({"access_token": text, "token_type": "License", "expires_in": seconds})
    response.headers["Cache-Control"] = "no-store"
    return response


@csrf_exempt
@login_not_required
@require_POST
def introspect(request: HttpRequest) -> HttpResponse:
    """Whether a client's own token is good, and for `resource`."""
    try:
        client = _client(request)
        found = licenses.find(request.POST.get("token", ""))
        if found is None or found.client_id != client.pk:
            return JsonResponse({"active": False})
        asked = request.POST.get("resource", "")
        told: dict[str, Any] = {
            "active": True,
            "token_type": "License",
            "client_id": client.client_id,
            "exp": int(found.expires_at.timestamp()),
        }
        if asked:
            told |= {
                "resource": asked,
                "permitted": _resource(request, asked).pk == found.resource_id,
            }
        return JsonResponse(told)
    except _Refused as refused:
        return _error(refused)


def _client(request: HttpRequest) -> LicenseClient:
    """Who shows a client's secret: by Basic, or in the form (RFC 6749, section 2.3.1)."""
    client_id, secret = request.POST.get("client_id", ""), request.POST.get("client_secret", "")
    scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            plain = base64.b64decode(text.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            plain = ""
        client_id, _, secret = plain.partition(":")
        client_id, secret = unquote(client_id), unquote(secret)
    found = licenses.client(client_id, secret) if client_id else None
    if found is None:
        raise _Refused("invalid_client", "No client is known by these.", 401)
    return found


def _resource(request: HttpRequest, url: str) -> Resource:
    """What is sold at a URL of this site. Raises `_Refused`."""
    parts = urlsplit(url)
    if parts.netloc not in ("", request.get_host()) or not parts.path.startswith("/"):
        raise _Refused("invalid_target", "Send resource=, a URL of this site (RFC 8707).")
    try:
        reference = _reference(request, parts.path, parts.query)
    except (Http404, NotForSale):
        reference = None
    by = {"slug": reference} if isinstance(reference, str) else {"pk": reference}
    found = Resource.objects.filter(active=True, **by).first() if reference is not None else None
    if found is None or found.access == Resource.Access.BALANCE:
        raise _Refused("invalid_target", "Nothing is sold at this URL.")
    if found.by_use:
        raise _Refused("invalid_target", "It is charged by use: pay with each request.")
    return found


def _reference(request: HttpRequest, path: str, query: str) -> Reference | None:
    """By a view's decorator, or by path rules, as for who asks for the URL."""
    try:
        match = resolve(unquote(path))
    except Resolver404:
        return None
    asked = RequestFactory().get(f"{path}?{query}", headers={"host": request.get_host()})
    asked.user = AnonymousUser()
    finder = finder_of(match.func)
    if finder is not None:
        return run(finder(asked, *match.args, **match.kwargs)())
    if set(match.app_names) & path_rules.EXEMPT_APPS:
        return None
    rule = (path_rules.peek() or path_rules.load()).find(asked.path_info, "GET")
    return rule.resource_id if rule is not None else None


def _error(refused: _Refused) -> HttpResponse:
    told = {"error": refused.error, "error_description": refused.why}
    response = JsonResponse(told, status=refused.status)
    response.headers["Cache-Control"] = "no-store"
    if refused.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="license tokens"'
    return response
