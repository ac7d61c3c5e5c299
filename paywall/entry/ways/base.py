"""What a way in is: a reason to let a request through that brings no payment of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from paywall import holders
from paywall.catalog import audiences
from paywall.effects import query
from paywall.entry import responses
from paywall.protocols import registry as protocols
from paywall.visitors.crawl_log import Ended

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.catalog.audiences import Quote
    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps


@dataclass(slots=True)
class Visit:
    """One request for something that is sold."""

    request: HttpRequest
    sale: ForSale
    """As it is sold to everyone."""
    is_a_question: bool = False
    """Its method only asks about the resource: such a visit takes nothing up."""
    is_part: bool = False
    """It is for a part of a page, and the request asks for the page."""
    _quote: Quote | None = None

    @property
    def brings_payment(self) -> bool:
        """Whether it has a credential with it, good or bad."""
        return protocols.brings_credential(self.request.META)

    def quote(self) -> Steps[Quote]:
        """How the resource is sold to who asks."""
        if self._quote is None:
            self._quote = yield from query(audiences.quote, self.request, self.sale)
        return self._quote


class Most(NamedTuple):
    """An amount of money."""

    amount: Decimal
    currency: str


class Ticket:
    """What lets one request through. It is told how that ended, once: used, or given back."""

    most: Most | None = None
    """So much it takes at most, where it is money that pays for what is charged by use."""
    ends: Ended = Ended.RETURNED
    """As what such a request is counted."""

    def use(self) -> Steps[None]:
        """The view delivered, and its response is about to go out. Raises `StaleMove` where
        somebody else used the same ticket meanwhile: then it does not go out."""
        return
        yield

    def give_back(self) -> Steps[None]:
        """Nothing was delivered."""
        return
        yield

    def mark(self, response: HttpResponseBase) -> None:
        """Put on the response what its reader should know."""
        responses.keep_private(response)


class OfBrowser(Ticket):
    """One whose holder has the browser's cookie from now on."""

    def __init__(self, request: HttpRequest, secret: str) -> None:
        self.request, self.secret = request, secret

    def mark(self, response: HttpResponseBase) -> None:
        super().mark(response)
        holders.hand(self.request, response, self.secret)


def is_prefetch(request: HttpRequest) -> bool:
    """Whether a browser only fetches ahead (Fetch's `Sec-Purpose`): nobody reads that, so it costs
    nobody what is free, and gets none of it."""
    purpose = request.META.get("HTTP_SEC_PURPOSE") or request.META.get("HTTP_PURPOSE") or ""
    return purpose.strip().lower().startswith("prefetch")


def is_reading(request: HttpRequest) -> bool:
    """Whether a person opens the page: no program, no link preview, no frame in another page."""
    framed = request.META.get("HTTP_SEC_FETCH_DEST", "document") != "document"
    return responses.wants_page(request) and not framed and not is_prefetch(request)


class Way(ABC):
    """One kind of reason. Its own rows it writes itself; money it never touches."""

    name: ClassVar[str]

    @abstractmethod
    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        """The steps to a ticket or to None: then the next way is asked, and at last for money. Or
        None at once, where a look at the visit shows that it is nothing of this way's."""
