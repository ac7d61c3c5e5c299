"""What is said to crawlers, in Cloudflare's words for Pay Per Crawl and those of Web Bot Auth.

Hints beside the offers: no money moves by these headers. A buyer's own limit is kept to.
https://developers.cloudflare.com/ai-crawl-control/features/pay-per-crawl/
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.urls import get_urlconf

from paywall import conf
from paywall.bots import WHAT_TO_SIGN
from paywall.catalog import usage
from paywall.exceptions import Code, Refused
from paywall.mounts import path_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.vocabulary import Offer

DOLLARS = "USD"
PRICE, CHARGED, ERROR = "crawler-price", "crawler-charged", "crawler-error"
_MAX, _EXACT = "HTTP_CRAWLER_MAX_PRICE", "HTTP_CRAWLER_EXACT_PRICE"

_ERRORS = {
    Code.BOT_REFUSED: "CrawlerForbidden",
    Code.BAD_BOT_SIGNATURE: "InvalidSignature",
    Code.PRICE_LIMIT_INVALID: "InvalidCrawlerPriceValue",
    Code.ABOVE_PRICE_LIMIT: "InvalidCrawlerMaxPrice",
}


_LICENSE_ERRORS = {
    Code.LICENSE_INVALID: "invalid_token",
    Code.LICENSE_ELSEWHERE: "insufficient_scope",
}


def headers_of(sale: ForSale) -> dict[str, str]:
    """What a challenge says to them besides."""
    wanted, found = conf.get(), {}
    if wanted.crawler_prices and (price := sale.prices.get(DOLLARS)) is not None:
        found[PRICE] = _told(price)
    if wanted.web_bot_auth == "ask":
        found["Accept-Signature"] = WHAT_TO_SIGN
    return found


def terms_of(sale: ForSale) -> dict[str, str]:
    """What machines may do with it (RSL 1.0, section 4; AIPREF)."""
    terms = usage.last().of(sale.resource_id)
    if terms is None:
        return {}
    found = {"Content-Usage": terms.preferences} if terms.preferences else {}
    path = _document_of(get_urlconf() or settings.ROOT_URLCONF)
    if path and "license" in conf.get().found_by:
        found["Link"] = f'<{path}>; rel="license"; type="application/rsl+xml"'
    return found


@functools.cache
def _document_of(urlconf: str) -> str:
    """Where the terms are served."""
    return path_of("paywall_discovery:license", urlconf=urlconf)


def headers_of_refusal(request: HttpRequest, code: Code) -> dict[str, str]:
    """Why, in their word."""
    if code in _LICENSE_ERRORS:
        return {"WWW-Authenticate": f'License error="{_LICENSE_ERRORS[code]}"'}
    if not conf.get().crawler_prices or code not in _ERRORS:
        return {}
    word = _ERRORS[code]
    if code == Code.PRICE_LIMIT_INVALID and _MAX in request.META and _EXACT in request.META:
        word = "ConflictingPriceHeaders"
    if code == Code.ABOVE_PRICE_LIMIT and _EXACT in request.META:
        word = "InvalidCrawlerExactPrice"
    return {ERROR: word}


def headers_of_paid(price: Decimal, currency: str) -> dict[str, str]:
    """What was paid."""
    if not conf.get().crawler_prices or currency != DOLLARS:
        return {}
    return {CHARGED: _told(price)}


def keep_to_limit(request: HttpRequest, offer: Offer) -> None:
    """Raise `Refused` where a buyer's own limit does not allow an offer: nothing is charged."""
    most, exact = request.META.get(_MAX), request.META.get(_EXACT)
    if (most is None and exact is None) or not conf.get().crawler_prices:
        return
    if most is not None and exact is not None:
        raise Refused(Code.PRICE_LIMIT_INVALID, status=400)
    limit = _amount(str(most if exact is None else exact))
    is_kept = offer.price == limit if exact is not None else offer.price <= limit
    if offer.currency != DOLLARS or not is_kept:
        raise Refused(Code.ABOVE_PRICE_LIMIT)


def _amount(text: str) -> Decimal:
    found = re.fullmatch(r"USD (\d{1,9}(?:\.\d{1,12})?)", text.strip())
    if found is None:
        raise Refused(Code.PRICE_LIMIT_INVALID, status=400)
    return Decimal(found[1])


def _told(price: Decimal) -> str:
    plain = price.normalize()
    exponent = plain.as_tuple().exponent
    if isinstance(exponent, int) and exponent > -2:
        plain = plain.quantize(Decimal("0.01"))
    return f"{DOLLARS} {plain:f}"
