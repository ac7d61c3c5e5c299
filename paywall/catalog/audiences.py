"""For whom which price is: what a request belongs to, and which free requests it has left.

Prices for everyone cost a request nothing here; only a resource with others asks who is there.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from paywall import adapter, conf, durable, holders, visitors
from paywall.catalog import offers
from paywall.exceptions import Code, NotForSale, Refused, Unavailable
from paywall.holders import throttle
from paywall.models import Audience
from paywall.visitors import rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale, Free, Tier

log = logging.getLogger(__name__)

COUPON = "HTTP_PAYWALL_COUPON"
COUPON_PARAMETER = "coupon"


@dataclass(frozen=True, slots=True)
class Quote:
    """How a resource is sold to one request."""

    sale: ForSale
    free: tuple[Free, ...] = ()
    """Free quotas that it may have; there may be nothing left of them."""


@durable.read
def quote(request: HttpRequest, sale: ForSale) -> Quote:
    """In each currency the cheapest of what the request's audiences pay. May query the database.

    Whatever else could have been offered to this request, now or a short while ago, is still
    taken: everyone's price from who has a coupon, a member's from who was one a minute ago. But not
    where the site's adapter has another price for it. Raises `NotForSale` where that is none.
    """
    found = _by_audience(request, sale) if sale.tiers else Quote(sale)
    if not adapter.has_own("price"):
        return found
    try:
        prices = adapter.prices(request, adapter.of_sale(found.sale))
        return replace(found, sale=offers.at(found.sale, prices))
    except Exception as error:
        log.exception("Resource %s: its price cannot be told", sale.slug)
        raise NotForSale(f"The adapter's price: {error}", sale.resource_id) from error


def is_the_same_for_all(sale: ForSale) -> bool:
    """Whether it costs everyone the same, so that nobody need be asked who is there."""
    return not sale.tiers and not adapter.has_own("price")


def may_pay(request: HttpRequest, sale: ForSale) -> None:
    """Whether the site's adapter has nothing against it. Raises `Refused`; `Unavailable` where the
    adapter fails."""
    if not adapter.has_own("may_pay"):
        return
    try:
        why = str(adapter.get().may_pay(request, adapter.of_sale(sale)))
    except Exception as error:
        log.exception("Resource %s: may_pay of the adapter failed: it is not sold", sale.slug)
        raise Unavailable(Code.UNAVAILABLE) from error
    if why:
        raise Refused(Code.NOT_ALLOWED, why, status=403)


def _by_audience(request: HttpRequest, sale: ForSale) -> Quote:
    members = _may_guess(request, sale)
    mine = [
        at
        for at, tier in enumerate(sale.tiers)
        if (members or tier.kind != Audience.Kind.COUPON) and _belongs(request, tier)
    ]
    if not mine:
        return Quote(sale)
    tiers = [sale.tiers[at] for at in mine]
    free = tuple(quota for tier in tiers for quota in tier.free)
    return Quote(sale.cheapest(tuple(mine)), free)


def _may_guess(request: HttpRequest, sale: ForSale) -> bool:
    """Whether the request's coupon is looked at. Wrong ones are counted, by network."""
    brought = _coupon(request)
    known = [tier for tier in sale.tiers if tier.kind == Audience.Kind.COUPON]
    if not brought or not known:
        return True
    if throttle.COUPON_GUESSES.is_reached(request):
        return False
    is_wrong = not any(_belongs(request, tier) for tier in known)
    if is_wrong and throttle.COUPON_GUESSES.count(request):
        log.warning("Coupons are guessed from %s", holders.network_of(request))
    return True


def is_coupon_idle(request: HttpRequest, sale: ForSale) -> bool:
    """Whether the request brings a coupon that makes nothing cheaper: it is wrong, over or used up,
    or the buyer pays less without it. `sale` is as it is sold to this one."""
    return bool(_coupon(request)) and not any(offer.for_coupon for offer in sale.offers)


def _coupon(request: HttpRequest) -> str:
    return request.META.get(COUPON) or request.GET.get(COUPON_PARAMETER) or ""


def url_to_keep(request: HttpRequest) -> str:
    """The request's URL as it may be written down and shown: a coupon in it is replaced by a mark
    that is the same for the same coupon, and tells nobody what it is."""
    url = request.build_absolute_uri()
    if COUPON_PARAMETER not in request.GET:
        return url
    address, _, query = url.partition("?")
    parts = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if unquote_plus(name) == COUPON_PARAMETER:
            digest = salted_hmac("paywall.coupon", unquote_plus(value)).hexdigest()
            part = f"{COUPON_PARAMETER}=hidden-{digest[:12]}"
        parts.append(part)
    return f"{address}?{'&'.join(parts)}"


def _belongs(request: HttpRequest, tier: Tier) -> bool:
    match tier.kind:
        case Audience.Kind.EVERYONE:
            return True
        case Audience.Kind.SIGNED_IN:
            return holders.user_id(request) is not None
        case Audience.Kind.GROUP:
            return holders.user_id(request) is not None and tier.group_id in _groups(request)
        case Audience.Kind.COUPON:
            return secrets.compare_digest(_coupon(request).encode(), tier.coupon.encode())
        case Audience.Kind.HOOK:
            return _admits(tier.hook, request)
        case Audience.Kind.BOTS:
            visitor = visitors.of(request)
            is_it = visitor.is_verified and visitor.covers_payment
            return is_it and rules.is_one_of(visitor, tier.bots, tier.bot)
    return False


def _groups(request: HttpRequest) -> set[int]:
    user: Any = getattr(request, "user", None)
    if not hasattr(request, "_paywall_groups"):
        request._paywall_groups = set(user.groups.values_list("pk", flat=True))  # type: ignore[attr-defined]
    found: set[int] = request._paywall_groups  # type: ignore[attr-defined]
    return found


def _admits(name: str, request: HttpRequest) -> bool:
    """Ask the site's own function. One that fails admits nobody."""
    path = conf.get().audiences.get(name)
    if path is None:
        log.error("Audience function %r is not in PAYWALL['AUDIENCES']: it admits nobody", name)
        return False
    try:
        function: Callable[[HttpRequest], bool] = import_string(path)
        return function(request) is True
    except Exception:
        log.exception("Audience function %s failed: it admits nobody", path)
        return False
