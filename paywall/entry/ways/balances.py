"""A balance: what was paid ahead opens one page more, by a click or by a header.

A click spends on the 402 page (`checkout.balance`) and leads back here, where what was spent is
had. A program that has a balance sends the header, and spends and reads in one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from paywall import conf, crashpoints, holders, ledger
from paywall.catalog import audiences
from paywall.checkout.balance import whose as who_asks
from paywall.effects import query
from paywall.exceptions import Code, Refused
from paywall.ledger import balances
from paywall.models.exposure import in_currency

from .base import Most, Ticket, Way, is_prefetch
from .paid import is_sent_here

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.models import BalanceEntry

    from .base import Visit

HEADER = "Paywall-Pay"
_KEY = "HTTP_PAYWALL_PAY"
BALANCE = "balance"
LEFT = "Paywall-Balance"
"""What is left, on a page that was paid from a balance."""


class Balances(Way):
    """For who pays from a balance."""

    name: ClassVar[str] = "balance"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        request = visit.request
        if visit.sale.is_top_up or visit.is_a_question or visit.brings_payment:
            return None
        asks = request.META.get(_KEY, "").strip().lower() == BALANCE
        # The header pays for what is asked for, not for every part that the page may have.
        if asks and not visit.is_part and not is_sent_here(request):
            return self._spend(visit)
        holder = holders.browser(request)
        return self._open(visit, holder) if holder and not is_prefetch(request) else None

    def _open(self, visit: Visit, holder: str) -> Steps[Ticket | None]:
        request, sale = visit.request, visit.sale
        url = audiences.url_to_keep(request) if sale.is_by_request else None
        hold = conf.get().view_timeout
        entry = yield from query(balances.to_be_opened, holder, sale.resource_id, url, hold)
        if entry is None:
            return None
        if is_sent_here(request) and sale.is_by_request:
            yield from query(balances.let_go, entry)
            raise Refused(Code.TO_BE_OPENED, status=403)
        return FromBalance(entry, sale, request)

    def _spend(self, visit: Visit) -> Steps[Ticket | None]:
        request = visit.request
        whose = who_asks(request)
        sale = (yield from visit.quote()).sale
        if whose.is_nobody:
            raise Refused(Code.BALANCE_TOO_LOW)
        purpose = ledger.Purpose(
            sale.resource_id,
            str(request.method),
            audiences.url_to_keep(request),
            sale.policy,
            whose.browser,
        )

        def spend() -> BalanceEntry | None:
            return balances.spend(
                whose,
                sale.prices,
                purpose,
                by_request=sale.is_by_request,
                hold=conf.get().view_timeout,
            )

        entry = yield from query(spend)
        if entry is None:
            raise Refused(Code.BALANCE_TOO_LOW)
        crashpoints.reach("balance: spent")
        return FromBalance(entry, sale, request)


class FromBalance(Ticket):
    """What was spent for one request: had once, or back on the balance. What is charged by use is
    spent at most, and the rest is back with what was used."""

    def __init__(self, entry: BalanceEntry, sale: ForSale, request: Any) -> None:
        self.entry, self.sale, self.request = entry, sale, request
        if sale.by_use:
            self.most = Most(in_currency(-entry.units), entry.balance.currency)
        self.left = ""

    def use(self) -> Steps[None]:
        yield from query(self._use)
        crashpoints.reach("balance: used")

    def _use(self) -> None:
        used = self.request.paywall.charged if self.most is not None else None
        balances.used(self.entry, self.sale.access, self.sale.pass_seconds, used)
        self.left = balances.balance_of(self.entry).worth

    def give_back(self) -> Steps[None]:
        yield from query(balances.given_back, self.entry)

    def mark(self, response: HttpResponseBase) -> None:
        super().mark(response)
        response.headers[LEFT] = self.left
