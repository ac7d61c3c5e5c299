"""A buyer's key: the same request with the same key is one payment, and has one answer.

A client that does not know what became of its payment signs a new one (x402's `payment-identifier`
extension has it send the same id along). The new one is never sent to anybody: the first is gone on
with, or its answer is given again. Another request with the same key is a conflict.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.http import HttpResponse
from django.utils import timezone

from paywall import holders
from paywall.effects import query
from paywall.exceptions import Code, Refused
from paywall.ledger import answers, receipts

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.models import Payment
    from paywall.vocabulary import Asked, Claim, Credential


def digest(request: HttpRequest, sale: ForSale, asked: Asked) -> str:
    """By which two requests are the same: what is bought, where, by which method, with which
    body. One whose body is too long to be read here is like no other."""
    body = asked.digest()
    if not body and request.META.get("CONTENT_LENGTH") not in (None, "", "0"):
        body = secrets.token_hex(16)
    said = [str(sale.resource_id), asked.method, asked.urls[1], body]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def earlier(
    request: HttpRequest, sale: ForSale, credential: Credential, claim: Claim, asked: Asked
) -> Steps[Payment | None]:
    """The payment of an earlier request with the same key, if there is one. Raises `Refused` where
    that request was another."""
    if not credential.idempotency_key or claim.payer is None:
        return None
    payment = yield from query(answers.payment_of, claim.payer, credential.idempotency_key)
    if payment is not None and payment.request_digest != digest(request, sale, asked):
        raise Refused(Code.CONFLICT, status=409, reference=payment.reference)
    return payment


class Before(NamedTuple):
    """What an earlier request was answered, and for which payment."""

    payment: Payment
    response: HttpResponse
    receipt: str | None


def answered(
    request: HttpRequest, sale: ForSale, credential: Credential, claim: Claim, asked: Asked
) -> Steps[Before | None]:
    """The same answer again, if an earlier request with the same key got one. Raises `Refused`."""
    payment = yield from earlier(request, sale, credential, claim, asked)
    if payment is None or payment.delivered_at is None:
        return None
    if not (is_signed_anew(payment, claim) or (yield from query(may_have, request, payment))):
        return None
    kept = yield from query(answers.kept, payment)
    if kept is None:
        return None
    response = HttpResponse(bytes(kept.body), status=kept.status)
    for name, value in kept.headers.items():
        response.headers[name] = value
    return Before(payment, response, (yield from query(receipts.path, payment)))


def is_signed_anew(payment: Payment, claim: Claim) -> bool:
    """Whether a claim is by another authorization than its payment's: nobody but its payer has one,
    as it was never sent anywhere."""
    return payment.identity != claim.identity


CREDENTIAL_IS_ENOUGH_FOR = timedelta(minutes=10)
"""Since the claim. Later, a signature that everybody can read in the chain proves nobody's right to
collect: the wallet signs in, or the browser or user that paid comes back."""


def may_have(request: HttpRequest, payment: Payment) -> bool:
    """Whether what a payment bought may go to whoever sent this request. May query."""
    if timezone.now() - payment.created_at <= CREDENTIAL_IS_ENOUGH_FOR:
        return True
    if payment.holder and payment.holder == holders.browser(request):
        return True
    if payment.user_id is not None and payment.user_id == holders.user_id(request):
        return True
    return payment.payer is not None and payment.payer == holders.wallet_of(request)
