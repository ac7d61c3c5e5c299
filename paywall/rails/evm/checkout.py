"""How people pay in stablecoins on the page."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import conf, holders, ledger, qr
from paywall.checkout import handler
from paywall.checkout.methods import Named, PaymentMethod, Started
from paywall.effects import run
from paywall.exceptions import Code, Refused
from paywall.money import money
from paywall.mounts import path_of
from paywall.rails.base import Unreachable

from . import networks, orders, plain
from .addresses import is_transaction_hash
from .terms import RAIL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.catalog.offers import ForSale
    from paywall.checkout.methods import Purchase, Start
    from paywall.models import Order
    from paywall.vocabulary import Offer


class Wallet(PaymentMethod):
    """A wallet that the browser has, as an extension or in its own app."""

    name: ClassVar[str] = "wallet"
    template: ClassVar[str] = "paywall/checkout/wallet.html"
    script: ClassVar[str] = "paywall/checkout/wallet.js"
    needs_script: ClassVar[bool] = True

    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        choices = [choice(offer) for offer in _fixed(purchase.sale)]
        if not choices:
            return None
        signs_in = bool(purchase.sale.sign_in) and not purchase.sale.is_by_request
        return {"choices": choices, "signs_in": signs_in, "data": {"choices": choices}}


def choice(offer: Offer) -> dict[str, Any]:
    """One offer, as the page's scripts find it among those of a challenge, and show it."""
    return {
        "network": offer.network,
        "asset": offer.terms["asset"],
        "payTo": offer.terms["payTo"],
        "symbol": offer.symbol,
        "decimals": offer.decimals,
        "title": networks.title(offer.network),
        "chain": networks.for_wallets(
            offer.network, conf.get().public_rpc_urls.get(offer.network, "")
        ),
    }


class Handler(PaymentMethod):
    """The browser's own payment sheet, with the wallet that this app ships."""

    name: ClassVar[str] = "handler"
    template: ClassVar[str] = "paywall/checkout/handler.html"
    script: ClassVar[str] = "paywall/checkout/handler.js"
    needs_script: ClassVar[bool] = True

    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        offers = _fixed(purchase.sale)
        if not offers or not handler.is_offered():
            return None
        if not path_of("paywall:handler"):
            return None
        url = handler.method_url(purchase.request)
        amount = {"currency": offers[0].currency, "value": money(offers[0].price)}
        return {"data": {"method": url, "label": purchase.sale.title, "amount": amount}}


class Transfer(PaymentMethod):
    """A plain transfer, by QR code or by hand: for phones, and wallets that are elsewhere."""

    name: ClassVar[str] = "transfer"
    template: ClassVar[str] = "paywall/checkout/transfer.html"
    order_template: ClassVar[str] = "paywall/checkout/transfer_order.html"
    script: ClassVar[str] = "paywall/checkout/order.js"

    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        choices = _told_apart(purchase.sale)
        action = path_of("paywall:pay", self.name)
        if not choices or not action:
            return None
        shown = [choice(offer) for offer in choices]
        found: dict[str, Any] = {"choices": shown, "action": action, "ticket": purchase.ticket}
        if holder := holders.browser(purchase.request):
            order = ledger.open_order_of(holder, purchase.sale.resource_id, RAIL)
            if order is not None:
                status_url = reverse("paywall:order", args=[order.public_id])
                way = {"order": order, "way": self.shows(order), "status_url": status_url}
                found |= {
                    "status_url": status_url,
                    "order_html": render_to_string(self.order_template, way, purchase.request),
                }
        return found

    def start(self, start: Start) -> Started:
        choices = _told_apart(start.sale)
        if start.choice >= len(choices):
            raise Refused(Code.NO_MATCHING_OFFER)
        earlier = ledger.open_order_of(start.purpose.holder, start.sale.resource_id, RAIL)
        if earlier is not None:
            return Started(earlier)
        return Started(orders.open_(choices[start.choice], start.purpose, start.user_id))

    def shows(self, order: Order) -> Mapping[str, Any] | None:
        offer = order.taken_offer
        if order.rail != RAIL or offer.scheme != plain.SCHEME:
            return None
        asset, to = offer.terms["asset"], offer.terms["payTo"]
        uri = plain.uri(offer.network, asset, to, offer.amount)
        return {
            "amount": f"{Decimal(offer.amount).scaleb(-offer.decimals):f}",
            "symbol": offer.symbol,
            "network": networks.title(offer.network),
            "testnet": networks.is_testnet(offer.network),
            "asset": asset,
            "to": to,
            "uri": uri,
            "qr": qr.drawn(uri),
        }

    def look(self, order: Order) -> None:
        orders.catch_up(order.taken_offer.network)

    def named(self, order: Order, payment: str) -> Named:
        if not is_transaction_hash(payment):
            return Named(False, gettext("A transaction is named by 0x and 64 hex digits."))
        try:
            code = run(orders.look_at(order, payment.lower()))
        except Unreachable:
            told = gettext("It cannot be looked up at the moment. Try again in a minute.")
            return Named(False, told)
        return Named(not code, str(_NAMED[code]))


_NAMED = {
    "": _("It was found, and is written down."),
    "not_seen": _("Nobody has seen this transaction yet. Try again in a minute."),
    "not_to_us": _("This transaction did not pay this order: it went elsewhere, or was earlier."),
    "not_yours": _("This transaction is known already: it paid for something else."),
}


def _fixed(sale: ForSale) -> list[Offer]:
    """What a person can pay: what is charged by use is for programs, and balances."""
    return [offer for offer in sale.offers if offer.rail == RAIL and not offer.at_most]


def _told_apart(sale: ForSale) -> list[Offer]:
    return [offer for offer in _fixed(sale) if orders.can_be_told_apart(offer)]
