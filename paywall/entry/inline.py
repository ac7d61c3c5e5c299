"""A part of a page that is sold: the same ways in as at the gate, without its money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse

from paywall.entry import caches
from paywall.entry.ways import registry as ways
from paywall.entry.ways.base import Visit

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.entry.ways.base import Ticket

MARKS = "_paywall_marks"
"""On a request: the tickets whose readers were let in, for `PaywallMiddleware` to mark the
response by; None in it is for who was not."""


def let_in(request: HttpRequest, sale: ForSale) -> Steps[bool]:
    """Whether who asks may read what is sold. Raises `Refused`, `Unavailable`."""
    marks: list[Ticket | None] = getattr(request, MARKS)
    caches.keep_out(request)
    visit = Visit(request, sale, is_a_question=request.method != "GET", is_part=True)
    ticket = yield from ways.admit(visit)
    if ticket is not None:
        yield from ticket.use()
        request.paywall_sale = sale  # type: ignore[attr-defined]
    marks.append(ticket)
    return ticket is not None


def unlock_url(request: HttpRequest, sale: ForSale) -> str:
    """Where a part of a page is paid for."""
    return request.build_absolute_uri(reverse("paywall:unlock", args=[sale.slug]))


def mark(request: HttpRequest, response: HttpResponseBase) -> None:
    """Have the response say what its reader should know, and be its reader's alone."""
    from paywall.entry import responses

    marks: list[Any] = getattr(request, MARKS, [])
    for ticket in marks:
        if ticket is not None:
            ticket.mark(response)
    if marks:
        responses.keep_private(response)
