"""What a payer has."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from . import nodes, schemes

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.vocabulary import Claim, Offer


def balance(offer: Offer, payer: str) -> Steps[Decimal]:
    """What a payer has, in units of the offer's currency; zero for contract wallets: what they say
    now is not what they do then. Raises `NodeError`."""
    node = nodes.require(offer.network)
    if (yield from node.has_code(payer)):
        return Decimal(0)
    units = yield from node.balance_of(offer.terms["asset"], payer)
    return Decimal(units).scaleb(-offer.decimals)


def can_afford(claim: Claim, offer: Offer) -> Steps[bool]:
    """Whether the payer has the money now. Raises `NodeError`."""
    scheme = schemes.named(offer.scheme)
    return (yield from scheme.can_afford(claim, offer, nodes.require(offer.network)))
