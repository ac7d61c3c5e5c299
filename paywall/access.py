"""The right to come back without paying: a browser by its cookie, a user by signing in."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone

from paywall import database
from paywall.models import AccessPass, Resource

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.models import Payment
    from paywall.offers import ForSale

COOKIE = "paywall_pass_{}"
_LONGEST_COOKIE = 400 * 24 * 3600
"""Browsers keep no cookie longer (RFC 6265bis)."""


def admits(request: HttpRequest, sale: ForSale) -> bool:
    """Whether the request holds a pass for the resource. May query the database."""
    if sale.access == Resource.Access.REQUEST:
        return False
    holder = Q(pk__in=())
    secret = request.COOKIES.get(COOKIE.format(sale.resource_id))
    if secret:
        holder |= Q(token_hash=_hash(secret))
    user_id = signed_in(request)
    if user_id is not None:
        holder |= Q(user_id=user_id)
    if not secret and user_id is None:
        return False
    return (
        AccessPass.objects.using(database.alias())
        .filter(holder, resource_id=sale.resource_id, revoked_at__isnull=True)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
        .exists()
    )


def signed_in(request: HttpRequest) -> Any:
    """The primary key of the signed-in user, or None. May query the database."""
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None


@database.durable
def grant(payment: Payment, sale: ForSale) -> str:
    """Make the pass that a payment bought, and return the secret for its holder's cookie."""
    secret = secrets.token_urlsafe(32)
    now = timezone.now()
    AccessPass.objects.using(database.alias()).create(
        resource_id=sale.resource_id,
        payment=payment,
        user_id=payment.user_id,
        token_hash=_hash(secret),
        created_at=now,
        expires_at=now + timedelta(seconds=sale.pass_seconds) if sale.pass_seconds else None,
    )
    return secret


def hand(request: HttpRequest, response: HttpResponseBase, sale: ForSale, secret: str) -> None:
    """Put a pass into the holder's browser."""
    response.set_cookie(
        COOKIE.format(sale.resource_id),
        secret,
        max_age=sale.pass_seconds or _LONGEST_COOKIE,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
