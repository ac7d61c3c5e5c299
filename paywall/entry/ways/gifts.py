"""A gift link: what somebody else paid for, or the owner gives away, is open to who follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paywall import holders
from paywall.effects import query
from paywall.ledger import gifts
from paywall.visitors.crawl_log import Ended

from .base import OfBrowser, Way, is_reading

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.effects import Steps

    from .base import Ticket, Visit


class Gifts(Way):
    """For readers who bring a link that is good. Whoever came by it once has a pass."""

    name: ClassVar[str] = "gift"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        request = visit.request
        if gifts.PARAMETER not in request.META.get("QUERY_STRING", ""):
            return None
        if visit.is_a_question or visit.brings_payment or not is_reading(request):
            return None
        public_id = gifts.read(request.GET.get(gifts.PARAMETER, ""))
        return None if public_id is None else self._look(visit, public_id)

    def _look(self, visit: Visit, public_id: str) -> Steps[Ticket | None]:
        secret = holders.secret_of(visit.request)
        sale = visit.sale
        is_open = yield from query(
            gifts.open_gift, public_id, sale.resource_id, holders.hash_of(secret), sale.pass_seconds
        )
        return Opened(visit.request, secret, public_id) if is_open else None


class Opened(OfBrowser):
    """One reader that a link is for."""

    ends = Ended.FREE

    def __init__(self, request: HttpRequest, secret: str, public_id: str) -> None:
        super().__init__(request, secret)
        self.public_id = public_id

    def give_back(self) -> Steps[None]:
        yield from query(gifts.give_back, self.public_id, holders.hash_of(self.secret))
