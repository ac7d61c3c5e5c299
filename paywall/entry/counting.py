"""How a request ended, for *Who knocks* on the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall.protocols import registry as protocols
from paywall.visitors import crawl_log, recognition
from paywall.visitors.crawl_log import Ended

if TYPE_CHECKING:
    from decimal import Decimal

    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale


def ended(
    request: HttpRequest,
    sale: ForSale,
    how: Ended,
    amount: Decimal | None = None,
    currency: str = "",
) -> None:
    """Count one request, where the owner wants them counted; with what was paid for it."""
    if not crawl_log.is_on():
        return
    meta = request.META
    agent = meta.get("HTTP_USER_AGENT", "")
    visitor = recognition.noticed(request)
    if visitor is not None and visitor.is_verified:
        proven: crawl_log.Proven = visitor.bot, visitor.purpose
    else:
        remote = meta.get("REMOTE_ADDR", "")
        forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
        proven = crawl_log.proven_by_address(agent, remote, forwarded)
    usual, price = first_price(sale)
    if amount is None:
        currency, amount = usual, price if how == Ended.MONITORED else crawl_log.FREE
    pays = protocols.brings_credential(meta)
    crawl_log.count(how, sale.resource_id, currency, agent, proven, pays=pays, amount=amount)


def asked(
    about: tuple[int, str],
    agent: str,
    remote: str,
    forwarded: str,
    how: Ended = Ended.ASKED,
) -> None:
    """The same for who is told the price at the front door: the resource's key and currency, and
    what the server says of who asks."""
    if crawl_log.is_on():
        proven = crawl_log.proven_by_address(agent, remote, forwarded)
        crawl_log.count(how, *about, agent, proven)


def first_price(sale: ForSale) -> tuple[str, Decimal]:
    """What it costs, in the first of its currencies."""
    return next(iter(sale.prices.items()), ("", crawl_log.FREE))
