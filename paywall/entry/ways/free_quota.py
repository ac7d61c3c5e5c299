"""Free requests: so many for each holder, then everybody pays."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from django.db.models import F

from paywall import business_days, durable, holders
from paywall.effects import query, run
from paywall.entry import responses
from paywall.models import Account, FreeUse, Price
from paywall.rails import registry
from paywall.rails.base import SignsIn, Unreachable
from paywall.visitors.crawl_log import Ended

from .base import Ticket, Way, is_prefetch

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import Free
    from paywall.effects import Steps

    from .base import Visit

log = logging.getLogger(__name__)


class FreeQuotas(Way):
    """For who has free requests left; what brings a payment is paid for."""

    name: ClassVar[str] = "free quota"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        return self._look(visit) if visit.sale.tiers else None

    def _look(self, visit: Visit) -> Steps[Ticket | None]:
        free = (yield from visit.quote()).free
        if not free or visit.is_a_question or visit.brings_payment or is_prefetch(visit.request):
            return None
        taken = yield from query(take_free, visit.request, free)
        return FreeRequest(taken) if taken is not None else None


class FreeRequest(Ticket):
    """One that was counted; it is given back if nothing comes of it."""

    ends = Ended.FREE

    def __init__(self, taken: Taken) -> None:
        self.taken = taken

    def give_back(self) -> Steps[None]:
        yield from query(give_back, self.taken)

    def mark(self, response: HttpResponseBase) -> None:
        responses.mark_free(response, self.taken.left)


@dataclass(frozen=True, slots=True)
class Taken:
    """A free request that was counted, to be given back if nothing comes of it."""

    key: int
    left: int


def take_free(request: HttpRequest, free: tuple[Free, ...]) -> Taken | None:
    """Count one free request, if there is one left. Of many at once, none goes past the limit."""
    for quota in free:
        holder = _holder(request, quota.per)
        if holder is None or not _has_enough(holder, quota):
            continue
        today = business_days.today()
        is_daily = quota.every == Price.FreeEvery.DAY
        taken = _take(quota, holder, today.isoformat() if is_daily else "ever")
        if taken is not None:
            return taken
        if is_daily:
            # For the page that asks for money now.
            request.paywall_free_again = business_days.bounds(today, today)[1]  # type: ignore[attr-defined]
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
    accounts = Account.objects.using(durable.alias()).filter(currency=quota.currency)
    for account in accounts.open():
        rail = registry.able(account.rail, SignsIn)
        if rail is None:
            continue
        try:
            units = run(rail.holdings(account.terms, account.network, holder))
        except Unreachable as error:
            log.warning("Cannot look up a wallet's balance: %s", error)
            continue
        if units is not None and Decimal(units).scaleb(-account.decimals) >= quota.balance:
            return True
    return False


def _holder(request: HttpRequest, per: str) -> str | None:
    """By what free requests are counted; None where the request does not show it."""
    match per:
        case Price.FreePer.ALL:
            return "all"
        case Price.FreePer.USER:
            user_id = holders.user_id(request)
            return None if user_id is None else holders.counted_as(user_id)
        case Price.FreePer.WALLET:
            return holders.wallet_of(request)
        case Price.FreePer.ADDRESS:
            return holders.network_of(request)
    return None
