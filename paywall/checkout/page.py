"""What the page shows, and how it is kept to itself."""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency
from django.templatetags.static import static
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext, ngettext, to_locale

from paywall import conf
from paywall.checkout import methods, texts, tickets
from paywall.checkout.methods import Purchase
from paywall.exceptions import Code
from paywall.mounts import path_of
from paywall.rails import registry as rails

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from paywall.catalog.offers import ForSale
    from paywall.exceptions import Refused, Unavailable
    from paywall.vocabulary import Offer

PAID_PART = ".paywall-content"
"""The CSS selector of what is for payers, as search engines are told."""

POLICY = (
    "script-src 'nonce-%s' 'strict-dynamic'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Strict, as https://web.dev/articles/strict-csp has it: no script runs but those that the page
names, whatever a title or a teaser contains."""

SCRIPT, STYLES = "paywall/checkout/checkout.js", "paywall/checkout/checkout.css"
AGAIN = "paywall/checkout/again.js"
"""Has a page that says "on its way" look again."""


def context_for(
    request: HttpRequest, sale: ForSale, url: str, url_to_keep: str, nonce: str, next_: str = ""
) -> dict[str, Any]:
    """What the templates of `paywall/checkout/` are given."""
    ticket = tickets.sign(sale, url_to_keep)
    purchase = Purchase(request, sale, url, ticket)
    ways = []
    for method in methods.all_():
        found = method.context(purchase)
        if found is not None:
            ways.append(
                {
                    **found,
                    "method": method,
                    "script": static(method.script) if method.script else "",
                }
            )
    ways.sort(key=lambda way: bool(way.get("comes_last")))
    return {
        "resource": sale,
        "offers": [_shown(offer) for offer in sale.offers],
        "price": price(*first_price(sale), at_most=sale.by_use),
        "lasts": lasts(sale),
        "ways": ways,
        "url": url,
        "csp_nonce": nonce,
        "checkout": for_script(url, next_ or url, path_of("paywall:begin")),
        "script": static(SCRIPT),
        "structured_data": "" if sale.is_top_up else structured_data(sale, url),
    }


def for_script(url: str, next_: str, begin: str = "") -> dict[str, Any]:
    """What `checkout.js` is given: what is sold at `url` and read at `next_`, and where a browser
    gets its cookie before it pays."""
    return {
        "url": url,
        "next": next_,
        "begin": begin,
        "styles": static(STYLES),
        "texts": texts.told(texts.TEXTS),
    }


def first_price(sale: ForSale) -> tuple[Decimal, str]:
    """What it costs, as its first offer says, or who pays ahead."""
    for offer in sale.offers:
        return offer.price, offer.currency
    currency, amount = next(iter(sale.prices.items()))
    return amount, currency


def _shown(offer: Offer) -> dict[str, Any]:
    network, rail = rails.network(offer.network), rails.named(offer.rail)
    return {
        "price": price(offer.price, offer.currency, at_most=offer.at_most),
        "currency": offer.currency,
        "symbol": offer.symbol,
        "network": network.title,
        "testnet": network.testnet,
        "told": rail.told(offer),
        "test_told": rail.test_told,
    }


def price(amount: Decimal, currency: str, *, at_most: bool = False) -> str:
    """An amount as it is written where the reader is: "$0.10", "0,10 $"; `at_most` of what is
    charged by use."""
    told = format_currency(amount, currency, locale=_locale(), decimal_quantization=False)
    return gettext("%(price)s at most") % {"price": told} if at_most else told


def units(amount: int, decimals: int) -> str:
    """Atomic units as what a wallet shows."""
    return f"{Decimal(amount).scaleb(-decimals).normalize():f}"


def _locale() -> Locale:
    try:
        return Locale.parse(to_locale(get_language() or "en"))
    except (UnknownLocaleError, ValueError):
        return Locale("en")


DAY, HOUR = 86_400, 3_600


def lasts(sale: ForSale) -> str:
    """What a payment opens, for people."""
    if sale.is_top_up:
        return gettext("It goes onto your balance: you pay from it with a click, page by page.")
    if sale.by_use:
        return gettext("You pay for what it uses.")
    if sale.is_by_request:
        return gettext("For one reading.")
    seconds = sale.pass_seconds
    if not seconds:
        return gettext("Yours for good: come back whenever you like.")
    if seconds >= DAY:
        number = seconds // DAY
        told = ngettext(
            "Open to you for %(number)s day.", "Open to you for %(number)s days.", number
        )
    else:
        number = max(1, seconds // HOUR)
        told = ngettext(
            "Open to you for %(number)s hour.", "Open to you for %(number)s hours.", number
        )
    return told % {"number": number}


def structured_data(sale: ForSale, url: str) -> SafeString:
    """JSON-LD that tells search engines which part is not free (Google Search Central,
    "Subscription and paywalled content")."""
    data = {
        "@context": "https://schema.org",
        "@type": "Article",
        "headline": sale.title,
        "description": sale.description,
        "url": url,
        "isAccessibleForFree": False,
        "hasPart": {
            "@type": "WebPageElement",
            "isAccessibleForFree": False,
            "cssSelector": PAID_PART,
        },
    }
    return mark_safe(  # noqa: S308 - nothing in it can end the element
        json.dumps({key: value for key, value in data.items() if value != ""})
        .replace("<", "\\u003C")
        .replace(">", "\\u003E")
        .replace("&", "\\u0026")
    )


def escaped(teaser: Any) -> str:
    """A view's own teaser: text, unless it is marked safe."""
    return conditional_escape(teaser) if teaser else ""


def sentence(code: Code) -> str:
    """What a person is told instead of an offer."""
    return str(texts.PAGES.get(code, texts.OTHERWISE))


def words(reason: Refused | Unavailable) -> str:
    """The same, of what was raised: the site's adapter has words of its own."""
    return reason.detail if reason.code == Code.NOT_ALLOWED else sentence(reason.code)


def new_nonce() -> str:
    """For the page's scripts: no other runs (CSP Level 3)."""
    return secrets.token_urlsafe(18)


def protect(response: HttpResponse, nonce: str) -> None:
    """Keep a page to itself: no script but ours runs, nobody frames it, and its address is told to
    nobody."""
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    if conf.get().page_csp:
        response.headers["Content-Security-Policy"] = POLICY % nonce
