"""How people pay with play money: a click."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, ClassVar

from django.urls import reverse
from django.utils.translation import gettext

from paywall import ledger
from paywall.checkout import page
from paywall.checkout.methods import Named, PaymentMethod, Started
from paywall.mounts import path_of
from paywall.vocabulary import Claim, Paid

from .terms import RAIL, made_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.checkout.methods import Purchase, Start
    from paywall.models import Order

SECONDS = 60
"""For which an order is open, between two lines of code."""


class PlayMoney(PaymentMethod):
    """Pays at once, from nobody's pocket."""

    name: ClassVar[str] = "sandbox"
    template: ClassVar[str] = "paywall/checkout/sandbox.html"
    order_template: ClassVar[str] = "paywall/checkout/sandbox_order.html"
    script: ClassVar[str] = "paywall/checkout/order.js"

    def context(self, purchase: Purchase) -> Mapping[str, Any] | None:
        action = path_of("paywall:pay", self.name)
        for offer in purchase.sale.offers:
            if offer.rail == RAIL and not offer.at_most and action:
                price = page.price(offer.price, offer.currency)
                return {"action": action, "ticket": purchase.ticket, "price": price}
        return None

    def start(self, start: Start) -> Started:
        offer = next(offer for offer in start.sale.offers if offer.rail == RAIL)
        order = ledger.open_order(offer, start.purpose, seconds=SECONDS, user_id=start.user_id)
        claim = Claim(f"{RAIL}:{secrets.token_hex(16)}", offer.amount, network=offer.network)
        evidence = {"sandbox": True}
        ledger.order_paid(order, claim, Paid(made_up(), final=True, evidence=evidence))
        return Started(order, reverse("paywall:returned", args=[order.public_id]))

    def shows(self, order: Order) -> Mapping[str, Any] | None:
        return {} if order.rail == RAIL else None

    def look(self, order: Order) -> None:
        """It was paid as it was made, or the process died: then another one is made."""

    def named(self, order: Order, payment: str) -> Named:
        return Named(False, gettext("Play money is paid with the button."))
