"""A metered month: so many articles for nothing, for people who read; programs pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paywall import holders
from paywall.effects import query
from paywall.entry import responses
from paywall.ledger import meters
from paywall.ledger.meters import Limit
from paywall.visitors.crawl_log import Ended

from .base import Ticket, Way, is_reading

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import Metering
    from paywall.effects import Steps
    from paywall.ledger.meters import Taken

    from .base import Visit


class Metered(Way):
    """For readers who have free articles left this month."""

    name: ClassVar[str] = "metered month"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        meter = visit.sale.meter
        if meter is None or visit.is_a_question or visit.brings_payment:
            return None
        return self._look(visit, meter) if is_reading(visit.request) else None

    def _look(self, visit: Visit, meter: Metering) -> Steps[Ticket | None]:
        request = visit.request
        secret = holders.secret_of(request) if meter.per == "browser" else ""
        limits = yield from query(_limits, request, meter, secret)
        if limits is None:
            return None
        taken = yield from query(meters.take, meter.id, visit.sale.resource_id, limits)
        if taken is None:
            return None
        request.paywall_free_left = taken.left  # type: ignore[attr-defined]
        return FreeReading(request, taken, secret)


class FreeReading(Ticket):
    """One that was counted; it is given back if nothing comes of it."""

    ends = Ended.FREE

    def __init__(self, request: HttpRequest, taken: Taken, secret: str) -> None:
        self.request, self.taken, self.secret = request, taken, secret

    def give_back(self) -> Steps[None]:
        yield from query(meters.give_back, self.taken)

    def mark(self, response: HttpResponseBase) -> None:
        responses.mark_free(response, self.taken.left)
        if self.secret and not holders.browser(self.request):
            holders.hand(self.request, response, self.secret)


def _limits(request: HttpRequest, meter: Metering, secret: str) -> tuple[Limit, ...] | None:
    """By what a reader is counted; None where the request does not show it."""
    network = holders.network_of(request)
    match meter.per:
        case "browser":
            own = Limit(f"browser {holders.hash_of(secret)}", meter.uses)
            if not meter.most_of_network:
                return (own,)
            return None if network is None else (own, Limit(network, meter.most_of_network))
        case "user":
            user_id = holders.user_id(request)
            return None if user_id is None else (Limit(holders.counted_as(user_id), meter.uses),)
        case "network":
            return None if network is None else (Limit(network, meter.uses),)
    return None
