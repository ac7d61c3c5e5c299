"""The right to come back without paying: a browser by its cookie, a user by signing in."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.signing import BadSignature, Signer
from django.db.models import Q
from django.utils import timezone

from paywall import database
from paywall.models import AccessPass, Resource

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.models import Payment
    from paywall.offers import ForSale

COOKIE = "paywall_holder"
"""One for a browser, however much it bought: passes name its holder."""
_LONGEST_COOKIE = 400 * 24 * 3600
"""Browsers keep no cookie longer (RFC 6265bis)."""
_SALT = "paywall.holder"


@database.patient
def admits(request: HttpRequest, sale: ForSale) -> bool:
    """Whether the request holds a pass for the resource. May query the database."""
    if sale.access == Resource.Access.REQUEST:
        return False
    owner = Q(pk__in=())
    holder = holder_of(request)
    if holder:
        owner |= Q(holder=holder)
    user_id = signed_in(request)
    if user_id is not None:
        owner |= Q(user_id=user_id)
    if not holder and user_id is None:
        return False
    return (
        AccessPass.objects.using(database.alias())
        .filter(owner, resource_id=sale.resource_id, revoked_at__isnull=True)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
        .exists()
    )


def holder_of(request: HttpRequest) -> str:
    """By what a browser is known that has a cookie of ours; "" for others."""
    return _hash(secret) if (secret := _secret(request)) else ""


def signed_in(request: HttpRequest) -> Any:
    """The primary key of the signed-in user, or None. May query the database."""
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None


@database.durable
def grant(payment: Payment, sale: ForSale, request: HttpRequest | None = None) -> str:
    """Make the pass that a payment bought, and return the secret for its holder's cookie: the
    browser's own, if it has one."""
    secret = (request and _secret(request)) or secrets.token_urlsafe(32)
    now = timezone.now()
    AccessPass.objects.using(database.alias()).create(
        resource_id=sale.resource_id,
        payment=payment,
        user_id=payment.user_id,
        holder=_hash(secret),
        created_at=now,
        expires_at=now + timedelta(seconds=sale.pass_seconds) if sale.pass_seconds else None,
    )
    return secret


def hand(request: HttpRequest, response: HttpResponseBase, secret: str) -> None:
    """Give a browser the cookie by which its passes are found; kept as long as browsers do."""
    response.set_cookie(
        COOKIE,
        _signer().sign(secret),
        max_age=_LONGEST_COOKIE,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )


def _secret(request: HttpRequest) -> str:
    """What the browser's cookie has, if the site signed it."""
    try:
        return _signer().unsign(request.COOKIES.get(COOKIE, ""))
    except BadSignature:
        return ""


def _signer() -> Signer:
    return Signer(salt=_SALT)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
