"""Value-added tax: what is added to a price, and what of a payment it is.

Amounts below ten cents are kept to a millionth, others to the cent, half up.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from paywall import conf

_SMALL = Decimal("0.10")
_CENT, _MILLIONTH = Decimal("0.01"), Decimal("0.000001")


class Split(NamedTuple):
    """A payment, as an invoice shows it."""

    net: Decimal
    vat: Decimal


def to_pay(price: Decimal) -> Decimal:
    """What a buyer pays for what the owner has priced so: more, where prices are without VAT."""
    seller = conf.get().seller()
    if seller is None or seller.prices_with_vat or not seller.vat_rate:
        return price
    return _rounded(price * (100 + seller.vat_rate) / 100)


def split(paid: Decimal, rate: Decimal) -> Split:
    """What of it is VAT, at a rate in percent."""
    net = _rounded(paid * 100 / (100 + rate))
    return Split(net, paid - net)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT if amount >= _SMALL else _MILLIONTH, ROUND_HALF_UP)
