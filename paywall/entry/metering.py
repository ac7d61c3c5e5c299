"""A request that is charged by use, at the gate: what it may use, and what it has used."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse

from paywall.django_internals import free_resources
from paywall.entry import streams
from paywall.entry.usage import Usage
from paywall.exceptions import UsageNotTold

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.entry.ways.base import Ticket
    from paywall.models import Payment


def read(request: HttpRequest, response: HttpResponseBase) -> Steps[None]:
    """What is charged by use is known once all of it is made; a view that says nothing of it has
    failed. Raises `UsageNotTold`, and what a stream raises."""
    try:
        if isinstance(response, StreamingHttpResponse):
            yield from streams.read_whole(response)
        if not usage_of(request).is_told:
            raise UsageNotTold(
                f"{request.path} is charged by use, and its view does not call "
                "request.paywall.charge(...); of nothing, charge(0)."
            )
    except BaseException:
        free_resources(response)
        raise


def of_ticket(ticket: Ticket, sale: ForSale) -> Usage:
    """What a request that brings no payment may use."""
    if ticket.most is not None:
        return Usage(*ticket.most)
    if not sale.by_use:
        return Usage()
    # Nothing is taken; a view that looks at what is left ends where it would for a buyer.
    currency, most = next(iter(sale.prices.items()))
    return Usage(most, currency)


def of_payment(payment: Payment) -> Usage:
    """What its buyer has allowed."""
    if not payment.is_by_use:
        return Usage()
    return Usage(Decimal(payment.offer["price"]), payment.currency)


def paid_for(request: HttpRequest, payment: Payment) -> Decimal:
    """What a payment took, as far as is known when it delivers."""
    if not payment.is_by_use:
        return payment.price
    return usage_of(request).charged


def usage_of(request: Any) -> Usage:
    """What the view has as `request.paywall`."""
    usage: Usage = request.paywall
    return usage


def units_used(request: HttpRequest, payment: Payment) -> int:
    """In atomic units, what the view says that it used."""
    return usage_of(request).units(int(payment.offer["decimals"]))
