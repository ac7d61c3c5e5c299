"""What makes an invoice of a receipt: who sells, what of it is tax, and a number of its year."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Max

from paywall import adapter, business_days, conf, durable, taxes
from paywall.models import Receipt
from paywall.money import money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paywall.models import Payment

log = logging.getLogger(__name__)


def of(payment: Payment) -> dict[str, Any]:
    """What a receipt says of seller and tax, as they are now; empty without `INVOICES`."""
    seller = conf.get().seller()
    if seller is None:
        return {}
    rate = adapter.vat_rate(payment)
    chosen = seller.vat_rate if rate is None else rate
    return {
        "seller": seller.name,
        "address": seller.address,
        "vat_id": seller.vat_id,
        **of_price(payment.price, chosen),
    }


def of_price(price: Decimal, rate: Decimal) -> dict[str, str]:
    """The amounts of an invoice, for JSON."""
    net, vat = taxes.split(price, rate)
    return {"vat_rate": f"{rate.normalize():f}", "net": money(net), "vat": money(vat)}


def number(receipts: Sequence[Receipt]) -> None:
    """Give receipts the next numbers of this year's series, without gaps. In the transaction that
    numbers them for the books: whoever does that is alone."""
    seller = conf.get().seller()
    if seller is None:
        return
    series = seller.series.format(year=business_days.today().year)
    rows = Receipt.objects.using(durable.alias()).filter(series=series)
    last = rows.aggregate(last=Max("serial"))["last"] or 0
    for serial, receipt in enumerate(receipts, last + 1):
        receipt.series, receipt.serial = series, serial
