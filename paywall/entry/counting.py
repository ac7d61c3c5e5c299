"""How a request ended, for *Who knocks* on the dashboard."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from paywall.protocols import registry as protocols
from paywall.visitors import crawl_log, recognition
from paywall.visitors.crawl_log import Ended, Price

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale

FREE = Decimal(0)


def ended(request: HttpRequest, sale: ForSale, how: Ended, price: Price | None = None) -> None:
    """Count one request, where the owner wants them counted."""
    if not crawl_log.is_on():
        return
    meta = request.META
    agent = meta.get("HTTP_USER_AGENT", "")
    visitor = recognition.noticed(request) or crawl_log.proven_by_address(
        agent, meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", "")
    )
    if price is None:
        currency, usual = first_price(sale)
        price = Price(usual if how == Ended.MONITORED else FREE, currency)
    pays = protocols.brings_credential(meta)
    crawl_log.count(sale.resource_id, how, agent, visitor, price, pays=pays)


def asked(about: tuple[int, str], agent: str, remote: str, forwarded: str) -> None:
    """The same for who is told the price at the front door: the resource's key and currency, and
    what the server says of who asks."""
    if crawl_log.is_on():
        visitor = crawl_log.proven_by_address(agent, remote, forwarded)
        crawl_log.count(about[0], Ended.ASKED, agent, visitor, Price(FREE, about[1]))


def first_price(sale: ForSale) -> tuple[str, Decimal]:
    """What it costs, in the first of its currencies."""
    return next(iter(sale.prices.items()), ("", FREE))
