"""What was ordered on the page and paid outside of the request: its holder has it delivered, once.

Orders of what is sold for longer make passes; these are for what is sold by the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from paywall import holders, ledger
from paywall.effects import query
from paywall.ledger import orders

from .base import Ticket, Way

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.models import Payment

    from .base import Visit


class PaidOrders(Way):
    """For resources that one payment opens once."""

    name: ClassVar[str] = "order"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        if not visit.sale.is_by_request:
            return None
        holder = holders.browser(visit.request)
        if not holder or visit.is_a_question or visit.brings_payment:
            return None
        return self._look(visit.sale.resource_id, holder)

    def _look(self, resource_id: int, holder: str) -> Steps[Ticket | None]:
        payment = yield from query(orders.to_be_collected, resource_id, holder)
        return PaidOrder(payment) if payment is not None else None


class PaidOrder(Ticket):
    """Of any number of requests at once, one has it delivered."""

    def __init__(self, payment: Payment) -> None:
        self.payment = payment

    def use(self) -> Steps[None]:
        yield from query(ledger.delivered, self.payment)
