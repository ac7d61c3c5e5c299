"""How people pay by card on the page: a button, and Stripe's own page behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext

from paywall import durable
from paywall.checkout import page
from paywall.checkout.methods import Named, PaymentMethod, Started
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.models import Payment
from paywall.models.payments import State
from paywall.mounts import path_of
from paywall.rails.base import Unreachable

from . import api, orders, terms
from .terms import RAIL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.checkout.methods import Purchase, Start
    from paywall.models import Order


class Card(PaymentMethod):
    """A card, or whatever else Stripe's page offers the buyer. Its numbers never come here."""

    name: ClassVar[str] = "card"
    template: ClassVar[str] = "paywall/checkout/card.html"
    order_template: ClassVar[str] = "paywall/checkout/card_order.html"
    script: ClassVar[str] = "paywall/checkout/order.js"

    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        offers = [offer for offer in purchase.sale.offers if offer.rail == RAIL]
        if not offers or not api.is_set_up():
            return None
        action = path_of("paywall:pay", self.name)
        if not action:
            return None
        return {
            "action": action,
            "ticket": purchase.ticket,
            "price": page.price(offers[0].price, offers[0].currency),
            "testnet": offers[0].network == terms.TEST,
        }

    def start(self, start: Start) -> Started:
        opened = orders.open_(orders.offer_of(start.sale.offers), start)
        return Started(opened.order, opened.url)

    def shows(self, order: Order) -> Mapping[str, Any] | None:
        if order.rail != RAIL:
            return None
        payments = Payment.objects.using(durable.alias())
        mine = payments.filter(holder=order.holder, resource_id=order.resource_id, rail=RAIL)
        is_pending = mine.filter(state=State.SETTLING).exists()
        return {"is_pending": is_pending, "testnet": order.taken_offer.network == terms.TEST}

    def look(self, order: Order) -> None:
        try:
            orders.look(order)
        except (Unreachable, LedgerUnavailable, StaleMove) as error:
            orders.log.warning("order=%s cannot be looked up: %s", order.public_id, error)

    def named(self, order: Order, payment: str) -> Named:
        self.look(order)
        return Named(True, gettext("It is looked for."))
