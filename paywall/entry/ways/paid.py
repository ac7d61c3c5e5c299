"""What a browser has paid for and not had: it comes back, and has it delivered, once.

An order that was paid outside of the request; or a payment of its own that took long to settle, or
whose answer got lost. Nobody who is owed something is asked to pay again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paywall import holders, ledger
from paywall.catalog import audiences
from paywall.effects import query
from paywall.exceptions import Code, Refused, Unavailable
from paywall.models.payments import State

from .base import Ticket, Way

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.models import Payment

    from .base import Visit


class Paid(Way):
    """For who has paid in this browser."""

    name: ClassVar[str] = "paid"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        holder = holders.browser(visit.request)
        if not holder or visit.is_a_question or visit.brings_payment:
            return None
        return self._look(visit, holder)

    def _look(self, visit: Visit, holder: str) -> Steps[Ticket | None]:
        # What is paid by the request is paid for one URL; a pass is for the resource.
        url = audiences.url_to_keep(visit.request) if visit.sale.is_by_request else None
        payment = yield from query(ledger.to_be_collected, visit.sale.resource_id, holder, url)
        if payment is None:
            return None
        if payment.state == State.SETTLING:
            raise Unavailable(Code.SETTLEMENT_PENDING, reference=payment.reference)
        if is_sent_here(visit.request) and visit.sale.is_by_request:
            raise Refused(Code.TO_BE_OPENED, status=403)
        return Owed(payment, visit.sale)


class Owed(Ticket):
    """Of any number of requests at once, one has it delivered."""

    def __init__(self, payment: Payment, sale: ForSale) -> None:
        self.payment, self.sale = payment, sale

    def use(self) -> Steps[None]:
        yield from query(ledger.deliver, self.payment, self.sale, self.payment.holder)


def is_sent_here(request: HttpRequest) -> bool:
    """Whether a page of another origin made the browser ask: then nothing that is given once is
    used up (Fetch Metadata)."""
    return request.META.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site")
