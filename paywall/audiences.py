"""For whom which price is: what a request belongs to, and which free requests it has left.

Prices for everyone cost a request nothing here; only a resource with others asks who is there.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from django.db.models import F
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from paywall import (
    access,
    addresses,
    conf,
    database,
    nodes,
    owner_time,
    throttle,
    wallets,
)
from paywall.evm.rpc import NodeError
from paywall.models import Account, Audience, FreeUse, Price
from paywall.steps import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from paywall.offers import ForSale, Free, Tier

log = logging.getLogger(__name__)

COUPON = "HTTP_PAYWALL_COUPON"
COUPON_PARAMETER = "coupon"


@dataclass(frozen=True, slots=True)
class Terms:
    """How a resource is sold to one request."""

    sale: ForSale
    free: tuple[Free, ...] = ()
    """Free quotas that it may have; there may be nothing left of them."""


@database.patient
def terms(request: HttpRequest, sale: ForSale) -> Terms:
    """In each currency the cheapest of what the request's audiences pay. May query the database.

    Whatever else could have been offered to this request, now or a short while ago, is still
    taken: everyone's price from who has a coupon, a member's from who was one a minute ago.
    """
    members = _may_guess(request, sale)
    mine = [
        at
        for at, tier in enumerate(sale.tiers)
        if (members or tier.kind != Audience.Kind.COUPON) and _belongs(request, tier)
    ]
    if not mine:
        return Terms(sale)
    tiers = [sale.tiers[at] for at in mine]
    free = tuple(quota for tier in tiers for quota in tier.free)
    return Terms(sale.cheapest(tuple(mine)), free)


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
        log.warning("Coupons are guessed from %s", addresses.network_of(request))
    return True


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
            return access.signed_in(request) is not None
        case Audience.Kind.GROUP:
            return access.signed_in(request) is not None and tier.group_id in _groups(request)
        case Audience.Kind.COUPON:
            return secrets.compare_digest(_coupon(request).encode(), tier.coupon.encode())
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

    key: int
    left: int


def is_prefetch(request: HttpRequest) -> bool:
    """Whether a browser only fetches ahead (Fetch's `Sec-Purpose`): nobody reads that, so it costs
    nobody a free request, and gets none."""
    purpose = request.META.get("HTTP_SEC_PURPOSE") or request.META.get("HTTP_PURPOSE") or ""
    return purpose.strip().lower().startswith("prefetch")


def take_free(request: HttpRequest, free: tuple[Free, ...]) -> Taken | None:
    """Count one free request, if there is one left. Of many at once, none goes past the limit."""
    for quota in free:
        holder = _holder(request, quota.per)
        if holder is None or not _has_enough(holder, quota):
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
    key = {
        "resource_id": quota.resource_id,
        "audience_id": quota.audience_id,
        "holder": holder,
        "period": period,
    }
    rows = FreeUse.objects.using(using).filter(**key)
    changed = rows.filter(used__lt=quota.uses).update(used=F("used") + 1)
    if not changed:
        _, is_new = FreeUse.objects.using(using).get_or_create(**key, defaults={"used": 1})
        if not is_new and not rows.filter(used__lt=quota.uses).update(used=F("used") + 1):
            return None
    pk, used = rows.values_list("pk", "used").get()
    return Taken(pk, quota.uses - used)


@database.durable
def give_back(taken: Taken) -> None:
    """Nothing was delivered: that was no free request."""
    rows = FreeUse.objects.using(database.alias()).filter(pk=taken.key, used__gt=0)
    rows.update(used=F("used") - 1)


def forget_old() -> int:
    """Delete what was counted on days that are over."""
    today = owner_time.today().isoformat()
    rows = FreeUse.objects.using(database.alias()).exclude(period="ever")
    number, _ = rows.filter(period__lt=today).delete()
    return number


def _has_enough(holder: str, quota: Free) -> bool:
    """Whether a wallet has what a quota asks of it, in one of the currency's tokens."""
    if quota.balance is None or quota.per != Price.FreePer.WALLET:
        return True
    accounts = Account.objects.using(database.alias()).filter(enabled=True, currency=quota.currency)
    for account in accounts:
        node = nodes.of(account.network)
        if node is None:
            continue
        try:
            units = run(node.balance_of(account.asset, holder))
        except NodeError as error:
            log.warning("Cannot look up a wallet's balance: %s", error)
            continue
        if Decimal(units).scaleb(-account.decimals) >= quota.balance:
            return True
    return False


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
            return addresses.network_of(request)
    return None
