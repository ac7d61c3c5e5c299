"""Answers that are kept: one payment, one answer, however often its buyer asks with the same
key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from paywall import conf, durable
from paywall.models import KeptAnswer, Payment
from paywall.models.literals import Literal

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

LARGEST = 256 * 1024
"""Bytes of an answer that is kept."""


@durable.read
def payment_of(payer: str, key: str) -> Payment | None:
    """What that payer has paid, or is paying, with that key; a payment that failed took nothing."""
    rows = Payment.objects.using(durable.alias()).filter(
        ~Q(idempotency_key=Literal("")) & ~Q(state=Literal("failed")),
        payer=payer,
        idempotency_key=key,
    )
    return rows.first()


def keep(payment: Payment, response: HttpResponseBase) -> None:
    """Keep what a payment is about to be answered, if its buyer has a key for it and it is short.
    In the transaction that delivers."""
    content = getattr(response, "content", None)
    if not payment.idempotency_key or content is None or len(content) > LARGEST:
        return
    if conf.get().keep_answers:
        KeptAnswer.objects.using(durable.alias()).create(
            payment=payment,
            status=response.status_code,
            headers=dict(response.headers),
            body=content,
        )


@durable.read
def kept(payment: Payment) -> KeptAnswer | None:
    """What it was answered, if that is not too long ago."""
    rows = KeptAnswer.objects.using(durable.alias()).filter(payment=payment)
    return rows.filter(created_at__gt=_since()).first()


def forget_old(most: int = 1_000) -> int:
    """Delete what is kept long enough. Returns how many."""
    rows = KeptAnswer.objects.using(durable.alias()).filter(created_at__lte=_since())
    keys = list(rows.order_by("created_at").values_list("pk", flat=True)[:most])
    return KeptAnswer.objects.using(durable.alias()).filter(pk__in=keys).delete()[0]


def _since() -> object:
    return timezone.now() - timedelta(seconds=conf.get().keep_answers)
