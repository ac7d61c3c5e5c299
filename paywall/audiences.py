"""For whom which price is: what a request belongs to, and which free requests it has left.

Prices for everyone cost a request nothing here; only a resource with others asks who is there.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from django.db.models import F
from django.utils.module_loading import import_string

from paywall import access, conf, database, owner_time, wallets
from paywall.models import Audience, FreeUse, Price

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from paywall.offers import ForSale, Free, Tier

log = logging.getLogger(__name__)

COUPON = "HTTP_PAYWALL_COUPON"
COUPON_PARAMETER = "coupon"
_IPV4_RANGE, _IPV6_RANGE = 24, 48
"""Free requests are counted for so many bits of an address: what one household or office has."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a resource is sold to one request."""

    sale: ForSale
    free: tuple[Free, ...] = ()
    """Free quotas that it may have; there may be nothing left of them."""


def terms(request: HttpRequest, sale: ForSale) -> Terms:
    """The cheapest of what the request's audiences pay. May query the database."""
    best = sale
    free: list[Free] = []
    for tier in sale.tiers:
        if not _belongs(request, tier):
            continue
        free += tier.free
        if tier.sale is not None and _price(tier.sale) < _price(best):
            best = tier.sale
    return Terms(best, tuple(free))


def _price(sale: ForSale) -> Any:
    # Offers of a tier are in the same currencies, and in the same order of accounts.
    return min(offer.price for offer in sale.offers) if sale.offers else float("inf")


def _belongs(request: HttpRequest, tier: Tier) -> bool:
    match tier.kind:
        case Audience.Kind.EVERYONE:
            return True
        case Audience.Kind.SIGNED_IN:
            return access.signed_in(request) is not None
        case Audience.Kind.GROUP:
            return access.signed_in(request) is not None and tier.group_id in _groups(request)
        case Audience.Kind.COUPON:
            brought = request.META.get(COUPON) or request.GET.get(COUPON_PARAMETER) or ""
            return secrets.compare_digest(brought.encode(), tier.coupon.encode())
        case Audience.Kind.HOOK:
            return _admits(tier.hook, request)
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


# -------------------------------------------------------------------------- Free requests


@dataclass(frozen=True, slots=True)
class Taken:
    """A free request that was counted, to be given back if nothing comes of it."""

    price_id: int
    holder: str
    period: str
    left: int


def take_free(request: HttpRequest, free: tuple[Free, ...]) -> Taken | None:
    """Count one free request, if there is one left. Of many at once, none goes past the limit."""
    for quota in free:
        holder = _holder(request, quota.per)
        if holder is None:
            continue
        day = owner_time.today().isoformat()
        period = day if quota.every == Price.FreeEvery.DAY else "ever"
        taken = _take(quota, holder, period)
        if taken is not None:
            return taken
    return None


@database.durable
def _take(quota: Free, holder: str, period: str) -> Taken | None:
    using = database.alias()
    key = {"price_id": quota.price_id, "holder": holder, "period": period}
    rows = FreeUse.objects.using(using).filter(**key)
    changed = rows.filter(used__lt=quota.uses).update(used=F("used") + 1)
    if not changed:
        _, is_new = FreeUse.objects.using(using).get_or_create(**key, defaults={"used": 1})
        if not is_new and not rows.filter(used__lt=quota.uses).update(used=F("used") + 1):
            return None
    used = rows.values_list("used", flat=True).get()
    return Taken(quota.price_id, holder, period, quota.uses - used)


@database.durable
def give_back(taken: Taken) -> None:
    """The view failed: that was no free request."""
    FreeUse.objects.using(database.alias()).filter(
        price_id=taken.price_id, holder=taken.holder, period=taken.period, used__gt=0
    ).update(used=F("used") - 1)


def forget_old() -> int:
    """Delete what was counted on days that are over."""
    today = owner_time.today().isoformat()
    rows = FreeUse.objects.using(database.alias()).exclude(period="ever")
    number, _ = rows.filter(period__lt=today).delete()
    return number


def _holder(request: HttpRequest, per: str) -> str | None:
    """By what free requests are counted; None where the request does not show it."""
    match per:
        case Price.FreePer.ALL:
            return "all"
        case Price.FreePer.USER:
            user_id = access.signed_in(request)
            return None if user_id is None else f"user {user_id}"
        case Price.FreePer.WALLET:
            return wallets.signed_in(request)
        case Price.FreePer.ADDRESS:
            return address_range(request)
    return None


def address_range(request: HttpRequest) -> str | None:
    """The network that a request comes from: /24 of IPv4, /48 of IPv6."""
    chain = [request.META.get("REMOTE_ADDR", "")]
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    chain = [part.strip() for part in forwarded.split(",") if part.strip()] + chain
    proxies = conf.get().proxies
    if len(chain) <= proxies:
        return None
    try:
        address = ip_address(chain[-1 - proxies])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    bits = _IPV4_RANGE if address.version == 4 else _IPV6_RANGE
    return f"network {ip_network((address, bits), strict=False)}"
