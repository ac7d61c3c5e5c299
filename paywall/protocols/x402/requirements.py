"""An offer as x402 says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paywall.vocabulary import Offer

UPFRONT = {"paymentFlow": "upfront"}
"""In an offer's `extra`: the money is taken before the work is done (x402 specs, payment flows)."""


def can_say(offer: Offer) -> bool:
    """Whether x402 has words for an offer: in which asset, and to whom."""
    return {"asset", "payTo"} <= offer.terms.keys()


def requirements(offer: Offer) -> dict[str, Any]:
    """The offer as the JSON of x402 v2 `PaymentRequirements`."""
    return {
        "scheme": offer.scheme,
        "network": offer.network,
        "amount": str(offer.amount),
        "maxTimeoutSeconds": offer.timeout,
        **offer.terms,
        "extra": extra(offer),
    }


def extra(offer: Offer) -> dict[str, Any]:
    """What the scheme needs besides, and when the money is taken."""
    return {**offer.terms.get("extra", {}), **(UPFRONT if offer.upfront else {})}


def names(accepted: dict[str, Any], offer: Offer) -> bool:
    """Whether a buyer's echo names this offer. What nobody signs, how long it can be taken and in
    which order, may have changed meanwhile."""
    return (
        can_say(offer)
        and accepted["scheme"] == offer.scheme
        and accepted["network"] == offer.network
        and accepted["asset"].lower() == offer.terms["asset"].lower()
        and accepted["amount"] == str(offer.amount)
        and accepted["payTo"].lower() == offer.terms["payTo"].lower()
        and all(
            (accepted["extra"] or {}).get(key) == value
            for key, value in offer.terms.get("extra", {}).items()
        )
    )
