"""Receipts: issued and numbered in the ledger's transactions, and as their readers see them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Max

from paywall import adapter, durable, mounts
from paywall.django_internals import is_loaded
from paywall.ledger import invoices, receipt_signature
from paywall.models import Receipt, Refund, Resource
from paywall.money import money, shortened
from paywall.rails import registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from paywall.catalog.offers import ForSale
    from paywall.models import Payment


def of(payments: Sequence[Payment]) -> set[int]:
    """The keys of those payments that have a receipt."""
    if not payments:
        return set()
    rows = Receipt.objects.using(durable.alias()).filter(payment__in=payments)
    return set(rows.values_list("payment_id", flat=True))


def issue(payments: Sequence[Payment], at: datetime, sale: ForSale | None = None) -> None:
    """Write the receipts of what is delivered or owed. None of them has one."""
    titles: dict[int, tuple[str, str]] = {}
    if sale is not None:
        titles[sale.resource_id] = sale.slug, sale.title
    elif payments:
        resources = Resource.objects.using(durable.alias())
        found = resources.filter(pk__in={payment.resource_id for payment in payments})
        titles = {pk: (slug, title) for pk, slug, title in found.values_list("pk", "slug", "title")}
    new = [
        Receipt(payment=payment, issued_at=at, sold=_sold(payment, *titles[payment.resource_id]))
        for payment in payments
    ]
    if len(new) == 1:
        durable.insert(new[0])
    else:
        Receipt.objects.using(durable.alias()).bulk_create(new, batch_size=500)


def _sold(payment: Payment, slug: str, title: str) -> dict[str, Any]:
    """What was sold, as it was then."""
    offer = payment.offer
    return {
        "resource": slug,
        "title": title,
        "url": payment.url,
        "method": payment.method,
        "price": money(payment.price),
        "currency": offer["currency"],
        "symbol": offer["symbol"],
        **({"fields": fields} if (fields := adapter.receipt_fields(payment)) else {}),
        **({"invoice": invoice} if (invoice := invoices.of(payment)) else {}),
    }


def correct(payment: Payment, price: Decimal) -> None:
    """What was sold cost so much in the end: it is charged by use, and was not numbered yet."""
    rows = Receipt.objects.using(durable.alias())
    for receipt in rows.select_for_update().filter(payment_id=payment.pk, number=None):
        receipt.sold["price"] = money(price)
        if invoice := receipt.sold.get("invoice"):
            invoice |= invoices.of_price(price, Decimal(invoice["vat_rate"]))
        rows.filter(pk=receipt.pk).update(sold=receipt.sold)


def number(keys: list[int]) -> None:
    """Give receipts the next numbers, without gaps: one numbering at a time.

    Whoever has the first receipt locked counts. (Before there is one, and on SQLite, the unique
    number or the write lock decides.)
    """
    receipts = Receipt.objects.using(durable.alias())
    receipts.select_for_update().filter(number=1).first()
    last = receipts.aggregate(last=Max("number"))["last"] or 0
    # What was confirmed before, and taken back by a reorganisation, keeps its number.
    unnumbered = list(receipts.filter(payment__in=keys, number=None).order_by("pk"))
    for next_one, receipt in enumerate(unnumbered, last + 1):
        receipt.number = next_one
    if unnumbered:
        invoices.number(unnumbered)
    numbers = ("number", "series", "serial")
    if len(unnumbered) == 1:
        (only,) = unnumbered
        receipts.filter(pk=only.pk).update(**{name: getattr(only, name) for name in numbers})
    else:
        receipts.bulk_update(unnumbered, numbers, batch_size=200)


def find(public_id: str) -> Receipt | None:
    """A receipt by its public id, with all that `document` reads."""
    return (
        Receipt.objects.using(durable.alias())
        .select_related("payment")
        .prefetch_related("payment__refunds")
        .filter(public_id=public_id)
        .first()
    )


def path(payment: Payment) -> str | None:
    """Where a payment's receipt can be read; None if the site has not mounted `paywall.urls`.

    Queries the database unless the receipt was issued with this very object.
    """
    if is_loaded(payment, "receipt"):
        public_id: str | None = payment.receipt.public_id
    else:
        rows = Receipt.objects.using(durable.alias()).filter(payment_id=payment.pk)
        public_id = rows.values_list("public_id", flat=True).first()
    return path_of(public_id) if public_id else None


def path_of(public_id: str) -> str | None:
    """Where the receipt of that id can be read; None if the site has not mounted `paywall.urls`."""
    return mounts.path_of("paywall:receipt", public_id) or None


def document(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON: what was sold, and how its payment stands now; signed by the site.

    The wallet is shortened: whoever is shown the URL need not learn the rest of it.
    """
    unsigned = _unsigned(receipt)
    return {**unsigned, "signature": receipt_signature.sign(unsigned)}


def _invoice(receipt: Receipt) -> dict[str, Any]:
    """What makes an invoice of it, where it is one."""
    found = receipt.sold.get("invoice")
    return {"number": receipt.invoice_number or None, **found} if found else {}


def _unsigned(receipt: Receipt) -> dict[str, Any]:
    payment = receipt.payment
    offer = payment.taken_offer
    return {
        "id": receipt.public_id,
        "number": receipt.number,
        "issued": receipt.issued_at.isoformat(),
        "resource": {key: receipt.sold[key] for key in ("title", "url", "method")},
        "price": receipt.sold["price"],
        "currency": receipt.sold["currency"],
        **({"fields": fields} if (fields := receipt.sold.get("fields")) else {}),
        **({"invoice": invoice} if (invoice := _invoice(receipt)) else {}),
        "payment": {
            "state": payment.state,
            "amount": str(payment.atomic_amount),
            "symbol": offer.symbol,
            "decimals": offer.decimals,
            "asset": offer.terms.get("asset", ""),
            "rail": payment.rail,
            "network": offer.network,
            "payer": shortened(payment.payer or ""),
            "payTo": offer.terms.get("payTo", ""),
            "transaction": payment.reference,
            "transactionUrl": registry.public_url(payment.rail, payment.network, payment.reference),
            "block": payment.position,
        },
        "refunds": [
            {"amount": refund.amount, "state": refund.state, "transaction": refund.reference}
            for refund in payment.refunds.all()
            if refund.state != Refund.State.FAILED
        ],
        "settled": payment.settled_at and payment.settled_at.isoformat(),
        "delivered": payment.delivered_at and payment.delivered_at.isoformat(),
        "confirmed": payment.confirmed_at and payment.confirmed_at.isoformat(),
    }
