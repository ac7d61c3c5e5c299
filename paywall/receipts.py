"""Receipts as their readers see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import NoReverseMatch, reverse

from paywall import database
from paywall.evm import networks
from paywall.evm.addresses import shortened
from paywall.models import Receipt, Refund

if TYPE_CHECKING:
    from paywall.models import Payment


def find(public_id: str) -> Receipt | None:
    """A receipt by its public id, with all that `document` reads."""
    return (
        Receipt.objects.using(database.alias())
        .select_related("payment")
        .prefetch_related("payment__refunds")
        .filter(public_id=public_id)
        .first()
    )


def path(payment: Payment) -> str | None:
    """Where a payment's receipt can be read; None if the site has not mounted `paywall.urls`.

    Queries the database unless the receipt was issued with this very object.
    """
    if "receipt" in payment._state.fields_cache:
        public_id: str | None = payment.receipt.public_id
    else:
        rows = Receipt.objects.using(database.alias()).filter(payment_id=payment.pk)
        public_id = rows.values_list("public_id", flat=True).first()
    try:
        return reverse("paywall:receipt", args=[public_id]) if public_id else None
    except NoReverseMatch:
        return None


def document(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON: what was sold, and how its payment stands now.

    The wallet is shortened: whoever is shown the URL need not learn the rest of it.
    """
    payment = receipt.payment
    offer = payment.taken_offer
    return {
        "id": receipt.public_id,
        "number": receipt.number,
        "issued": receipt.issued_at.isoformat(),
        "resource": {key: receipt.sold[key] for key in ("title", "url", "method")},
        "price": receipt.sold["price"],
        "currency": receipt.sold["currency"],
        "payment": {
            "state": payment.state,
            "amount": str(offer.amount),
            "symbol": offer.symbol,
            "decimals": offer.decimals,
            "asset": offer.asset,
            "network": offer.network,
            "payer": shortened(payment.payer),
            "payTo": offer.pay_to,
            "transaction": payment.tx_hash,
            "transactionUrl": networks.transaction_url(offer.network, payment.tx_hash),
            "block": payment.block_number,
        },
        "refunds": [
            {"amount": refund.amount, "state": refund.state, "transaction": refund.tx_hash}
            for refund in payment.refunds.all()
            if refund.state != Refund.State.FAILED
        ],
        "settled": payment.settled_at and payment.settled_at.isoformat(),
        "delivered": payment.delivered_at and payment.delivered_at.isoformat(),
        "confirmed": payment.confirmed_at and payment.confirmed_at.isoformat(),
    }
