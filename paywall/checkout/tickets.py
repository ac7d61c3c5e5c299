"""What a page's forms send along: for which resource, at which URL, signed by us.

So an endpoint of ours needs not find out again what a URL sells, and believes nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
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


def sign(sale: ForSale, url: str) -> str:
    """The signed text for a page."""
    price_ids = sorted({offer.price_id for offer in sale.offers})
    return signing.dumps([sale.resource_id, url, price_ids], salt=_SALT, compress=True)


def read(text: str) -> Wanted | None:
    """What a page's form brought; None if it is not ours, or too old."""
    try:
        resource_id, url, price_ids = signing.loads(text, salt=_SALT, max_age=GOOD_FOR)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return Wanted(resource_id, url, tuple(price_ids))
