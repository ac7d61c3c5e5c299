"""Free requests: so many for each holder, then everybody pays."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db.models import F

from paywall import business_days, durable, holders
from paywall.effects import run
from paywall.models import Account, FreeUse, Price
from paywall.rails.evm import nodes
from paywall.rails.evm.rpc import NodeError

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import Free

log = logging.getLogger(__name__)


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
        day = business_days.today().isoformat()
        period = day if quota.every == Price.FreeEvery.DAY else "ever"
        taken = _take(quota, holder, period)
        if taken is not None:
            return taken
    return None


@durable.write
def _take(quota: Free, holder: str, period: str) -> Taken | None:
    using = durable.alias()
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


@durable.write
def give_back(taken: Taken) -> None:
    """Nothing was delivered: that was no free request."""
    rows = FreeUse.objects.using(durable.alias()).filter(pk=taken.key, used__gt=0)
    rows.update(used=F("used") - 1)


def forget_old() -> int:
    """Delete what was counted on days that are over."""
    today = business_days.today().isoformat()
    rows = FreeUse.objects.using(durable.alias()).exclude(period="ever")
    number, _ = rows.filter(period__lt=today).delete()
    return number


def _has_enough(holder: str, quota: Free) -> bool:
    """Whether a wallet has what a quota asks of it, in one of the currency's tokens."""
    if quota.balance is None or quota.per != Price.FreePer.WALLET:
        return True
    accounts = Account.objects.using(durable.alias()).filter(enabled=True, currency=quota.currency)
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
            user_id = holders.user_id(request)
            return None if user_id is None else f"user {user_id}"
        case Price.FreePer.WALLET:
            return holders.wallet_of(request)
        case Price.FreePer.ADDRESS:
            return holders.network_of(request)
    return None
