"""The one place where a site changes how the paywall behaves.

    # site/selling.py
    from paywall.adapter import Adapter

    class Selling(Adapter):
        def may_pay(self, request, item):
            return "Not sold in your country." if country_of(request) in EMBARGO else ""

    PAYWALL = {"ADAPTER": "site.selling.Selling"}

A method that raises is treated as the one that gives nothing away: nothing is sold, nobody is let
in, a receipt lacks its own fields. The site's log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from paywall import conf, extensions

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.models import Payment

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """What is sold, for an adapter's methods."""

    resource_id: int
    slug: str
    title: str
    description: str
    prices: Mapping[str, Decimal]
    """What this request would pay, by currency: the cheapest of what its audiences pay."""


class Adapter:
    """Everything as the paywall does it by itself. Subclass it, and change what you need."""

    def may_pay(self, request: HttpRequest, item: Item) -> str:
        """Why this request may not buy it, as a sentence for who asks; "" if it may. It is answered
        403 (`not_allowed`). Who has paid already is let in all the same."""
        return ""

    def price(
        self, request: HttpRequest, item: Item, amount: Decimal, currency: str
    ) -> Decimal | None:
        """What it costs this request, more than zero, in units of the currency; None is the price
        of the admin.

        The same request is to cost the same for as long as an offer can be taken
        (`OFFER_TIMEOUT`): a program asks first, and pays with its second request. Free is a way in
        (`WAYS_IN`), no price. What is returned and is no amount closes the resource (503).
        """
        return None

    def teaser(self, request: HttpRequest, item: Item) -> str:
        """What a person sees of the page before paying, where the view does not say so; "" is the
        Resource's description. Text, unless it is marked safe."""
        return ""

    def receipt_fields(self, payment: Payment) -> Mapping[str, str]:
        """What a receipt says besides, by its label: "Buyer": "Ada Ltd, London". It is written down
        with the receipt, and shown on its page, in its JSON and in exports."""
        return {}

    def vat_rate(self, payment: Payment) -> Decimal | None:
        """The rate of VAT in percent, by the buyer's country, say, where the site knows it; None
        is the one of `INVOICES`. Asked when the receipt is written."""
        return None

    def refund_closes(self, payment: Payment, left: Decimal) -> bool:
        """Whether a refund takes away what was bought, if who asks for it does not say so; `left`
        is what the site keeps, in units of the token."""
        return left == 0


@conf.kept
def get() -> Adapter:
    """The site's. Raises `ImproperlyConfigured`, naming the setting."""
    path = conf.get().adapter
    return extensions.made("ADAPTER", [path], Adapter)[0] if path else Adapter()


@conf.kept
def has_own(method: str) -> bool:
    """Whether the site has changed that one: else it need not be asked."""
    return getattr(type(get()), method) is not getattr(Adapter, method)


def prices(request: HttpRequest, item: Item) -> Mapping[str, Decimal]:
    """The prices that are others for this request. Raises `ValueError` for what is none, and what
    the site's code raises."""
    found: dict[str, Decimal] = {}
    for currency, amount in item.prices.items():
        own = get().price(request, item, amount, currency)
        if own is None or own == amount:
            continue
        if not isinstance(own, Decimal) or not own.is_finite() or own <= 0:
            raise ValueError(f"price() of the adapter returned {own!r}: no amount above zero")
        found[currency] = own
    return found


def teaser(request: HttpRequest, item: Item) -> Any:
    """Where that fails, the Resource's description stands there."""
    try:
        return get().teaser(request, item)
    except Exception:
        log.exception("Resource %s: teaser of the adapter failed", item.slug)
        return ""


def refund_closes(payment: Payment, left: Decimal) -> bool:
    """Where that fails, it does."""
    try:
        return bool(get().refund_closes(payment, left))
    except Exception:
        log.exception("payment=%s: refund_closes of the adapter failed", payment.pk)
        return True


def vat_rate(payment: Payment) -> Decimal | None:
    """Where that fails, or is no rate, the one of `INVOICES`."""
    if not has_own("vat_rate"):
        return None
    try:
        rate = get().vat_rate(payment)
        if rate is None or (isinstance(rate, Decimal) and 0 <= rate <= 100):
            return rate
        log.error("payment=%s: vat_rate of the adapter returned %r: no rate", payment.pk, rate)
    except Exception:
        log.exception("payment=%s: vat_rate of the adapter failed", payment.pk)
    return None


def receipt_fields(payment: Payment) -> dict[str, str]:
    """Where that fails, none: the receipt is written."""
    if not has_own("receipt_fields"):
        return {}
    try:
        return {str(label): str(text) for label, text in get().receipt_fields(payment).items()}
    except Exception:
        log.exception("payment=%s: receipt_fields of the adapter failed", payment.pk)
        return {}


def of_sale(sale: Any) -> Item:
    """What is sold to a request, for the methods."""
    return Item(sale.resource_id, sale.slug, sale.title, sale.description, sale.prices)
