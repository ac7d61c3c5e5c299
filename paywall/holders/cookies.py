"""A browser, known by one signed cookie, however much it bought."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from django.core.signing import BadSignature, Signer

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

COOKIE = "paywall_holder"
"""One for a browser: passes and payments name its holder."""
SECURE_COOKIE = f"__Host-{COOKIE}"
"""The same over TLS: browsers take one of that name only from this very host (RFC 6265bis), so that
no other one of the domain can foist its own on a reader."""
_LONGEST_COOKIE = 400 * 24 * 3600
"""Browsers keep no cookie longer (RFC 6265bis)."""
_SALT = "paywall.holder"


def browser(request: HttpRequest) -> str:
    """By what a browser is known that has a cookie of ours: its secret's hash; "" for others."""
    secret = _presented(request)
    return hash_of(secret) if secret else ""


def secret_of(request: HttpRequest) -> str:
    """The browser's own secret, or a new one to `hand` to it."""
    return _presented(request) or secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is written down of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hand(request: HttpRequest, response: HttpResponseBase, secret: str) -> None:
    """Give a browser the cookie by which its passes are found; kept as long as browsers do."""
    response.set_cookie(
        name_for(request),
        signer().sign(secret),
        max_age=_LONGEST_COOKIE,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )


def name_for(request: HttpRequest) -> str:
    """What the cookie is called on this connection."""
    return SECURE_COOKIE if request.is_secure() else COOKIE


def signer() -> Signer:
    """What signs the cookie."""
    return Signer(salt=_SALT)


def _presented(request: HttpRequest) -> str:
    """What the browser's cookie has, if the site signed it."""
    if COOKIE not in request.META.get("HTTP_COOKIE", ""):
        return ""  # most requests; their cookies need not be read
    value = request.COOKIES.get(name_for(request), "")
    try:
        return signer().unsign(value)
    except BadSignature:
        return ""
