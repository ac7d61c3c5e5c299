"""How people pay from a balance on the page, and what they top it up with."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from django.utils.http import url_has_allowed_host_and_scheme

from paywall import holders
from paywall.catalog import offers
from paywall.checkout import page
from paywall.checkout.methods import PaymentMethod
from paywall.ledger.balances import Whose, mine
from paywall.models import Resource
from paywall.mounts import path_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.checkout.methods import Purchase

NEXT = "next"
"""The parameter that says where a reader wanted to go."""


class FromBalance(PaymentMethod):
    """A click takes the price off what the reader has paid ahead. Who has not is offered to."""

    name: ClassVar[str] = "balance"
    template: ClassVar[str] = "paywall/checkout/balance.html"

    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        request, sale = purchase.request, purchase.sale
        if sale.is_top_up:
            return None
        prices = sale.prices
        has = [one for one in mine(whose(request)) if one.currency in prices and one.units]
        enough = next((one for one in has if one.amount >= prices[one.currency]), None)
        bundles = [
            one
            for one in top_ups(request.get_full_path())
            if one.currency in prices and one.amount > prices[one.currency]
        ]
        if enough is None and not bundles:
            return None
        action, statement = path_of("paywall:spend"), path_of("paywall:balance")
        if not action:
            return None
        shown = enough or (has[0] if has else None)
        return {
            "action": action,
            "ticket": purchase.ticket,
            "statement": statement,
            "is_enough": enough is not None,
            "comes_last": enough is None,
            "has": page.price(shown.amount, shown.currency) if shown else "",
            "price": _price(sale, enough.currency) if enough else "",
            "top_ups": bundles,
        }


def _price(sale: ForSale, currency: str) -> str:
    return page.price(sale.prices[currency], currency, at_most=sale.by_use)


class Bundle(PaymentMethod):
    """What opens more than this page, and this one too: a section, or everything for a day."""

    name: ClassVar[str] = "bundle"
    template: ClassVar[str] = "paywall/checkout/bundle.html"

    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        bundle = offers.bundle_of(purchase.sale)
        where = "" if bundle is None else path_of("paywall:unlock", bundle.slug)
        if bundle is None or not where:
            return None
        next_ = urlencode({NEXT: purchase.request.get_full_path()})
        return {
            "bundle": bundle,
            "price": page.price(*page.first_price(bundle)),
            "lasts": page.lasts(bundle),
            "url": f"{where}?{next_}",
            "comes_last": True,
        }


class TopUp(NamedTuple):
    """Something that goes onto a balance."""

    title: str
    amount: Decimal
    currency: str
    url: str

    @property
    def price(self) -> str:
        return page.price(self.amount, self.currency)


def whose(request: HttpRequest) -> Whose:
    """Who asks, as balances know them."""
    return Whose(holders.user_id(request), holders.browser(request))


def top_ups(next_: str) -> list[TopUp]:
    """All that a balance can be topped up with, the cheapest first; it goes on to `next_` then."""
    found = []
    for sale in offers.top_ups():
        where = path_of("paywall:top_up", sale.slug)
        if not where:
            continue
        url = f"{where}?{urlencode({NEXT: next_})}"
        found += [
            TopUp(sale.title, price, currency, url) for currency, price in sale.prices.items()
        ]
    return sorted(found, key=lambda one: one.amount)


def opened_at(access: str, url: str) -> str:
    """Where what was paid for at a URL is to be seen: there, or for a top-up the balance."""
    if access != Resource.Access.BALANCE:
        return url
    wanted = parse_qs(urlsplit(url).query).get(NEXT, [""])[0]
    where = path_of("paywall:balance")
    return f"{where}?{urlencode({NEXT: wanted})}" if wanted else where


def next_of(request: HttpRequest) -> str:
    """Where the reader wanted to go, on this site; "" where they do not say."""
    wanted = request.GET.get(NEXT, "")
    is_here = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_here else ""
