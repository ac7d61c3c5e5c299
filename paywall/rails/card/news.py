"""What the owner should know of cards: who wants money back by way of their bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import durable
from paywall.models import Alert, Dispute
from paywall.vocabulary import News

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 50


def news() -> Iterator[News]:
    """Disputes that are open."""
    rows = Dispute.objects.using(durable.alias()).filter(state=Dispute.State.OPEN)
    for dispute in rows.select_related("payment").order_by("opened_at")[:AT_ONCE]:
        payment = dispute.payment
        yield News(
            f"dispute:{dispute.reference}",
            Alert.Kind.DISPUTE,
            f"Payment #{payment.pk} of {payment.cost} is disputed",
            f"{payment.method} {payment.url}\nReason: {dispute.reason}\n"
            "Its pass is closed, and it cannot be refunded until the bank has decided. Answer the "
            "bank at Stripe: the receipt shows when and what was delivered.",
            {"payment": payment.pk, "dispute": dispute.reference, "reason": dispute.reason},
            payment.pk,
        )
