"""What a page's forms send along: for which resource, at which URL, signed by us.

So an endpoint of ours needs not find out again what a URL sells, and believes nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from django.core import signing

if TYPE_CHECKING:
    from paywall.catalog.offers import ForSale

_SALT = "paywall.checkout"
GOOD_FOR = 24 * 3600
"""Seconds for which a page may lie open before its buttons ask for a new one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to pay for."""

    resource_id: int
    url: str
    """As payments keep it."""
    price_ids: tuple[int, ...]
    """At which prices it was offered: with a coupon, say."""
    own_prices: dict[str, Decimal]
    """And where the site's adapter had another for who asked: by currency."""


def sign(sale: ForSale, url: str) -> str:
    """The signed text for a page."""
    price_ids = sorted({offer.price_id for offer in sale.offers})
    own = {currency: str(amount) for currency, amount in sale.own_prices.items()}
    told = [sale.resource_id, url, price_ids, *([own] if own else [])]
    return signing.dumps(told, salt=_SALT, compress=True)


def read(text: str) -> Wanted | None:
    """What a page's form brought; None if it is not ours, or too old."""
    try:
        resource_id, url, price_ids, *own = signing.loads(text, salt=_SALT, max_age=GOOD_FOR)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    own_prices = {currency: Decimal(amount) for one in own for currency, amount in one.items()}
    return Wanted(resource_id, url, tuple(price_ids), own_prices)
