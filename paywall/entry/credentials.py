"""A request's claim on a payment: made anew, or taken up where an earlier request left it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from paywall import conf, holders, ledger, settlement
from paywall.catalog import audiences
from paywall.effects import query
from paywall.entry import repeats, verification
from paywall.exceptions import Code, Refused, Unavailable
from paywall.ledger import answers, receipts
from paywall.models import Payment, Resource
from paywall.models.payments import State

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.vocabulary import Asked, Claim, Credential, Offer


def take(
    request: HttpRequest,
    sale: ForSale,
    credential: Credential,
    offer: Offer,
    claim: Claim,
    asked: Asked,
) -> Steps[Payment]:
    """Make the claim, or take up its payment where an earlier request left it."""
    url = audiences.url_to_keep(request)
    purpose = _purpose(request, sale, url)
    again = yield from repeats.earlier(request, sale, credential, claim, asked)
    if again is not None and repeats.is_signed_anew(again, claim):
        return (yield from _take_up(request, again, purpose, is_payer=True))
    if credential.idempotency_key:
        digest, key = repeats.digest(request, sale, asked), credential.idempotency_key
        purpose = replace(purpose, idempotency_key=key, request_digest=digest)
    is_stranger = verification.is_stranger(claim.payer)
    if is_stranger and _is_served_in_line(sale):
        earlier = yield from query(ledger.find, [claim.identity])
        if earlier is not None:
            return (yield from _take_up(request, earlier, purpose))
        yield from verification.require_means(request, offer, claim, url)
    if claim.payer is None:
        yield from verification.require_patience(request)
    hold = conf.get().view_timeout
    ask_credit = sale.policy == Resource.Policy.BACKGROUND
    ask_credit = ask_credit and verification.may_have_credit(claim)
    balance = (yield from verification.balance(offer, claim)) if ask_credit else None

    def insert() -> tuple[Payment, bool]:
        return ledger.claim(
            claim,
            offer,
            purpose,
            protocol=credential.protocol,
            user_id=holders.user_id(request),
            hold=hold,
            ask_credit=ask_credit,
            balance=balance,
        )

    payment, is_new = yield from query(insert)
    if not is_new:
        return (yield from _take_up(request, payment, purpose))
    if is_stranger and ask_credit and not payment.on_credit:
        # No room for it on credit: so its view would run first, as under `after`.
        yield from _require_means(request, payment, offer, claim)
    return payment


def _wait_for_the_answer(payment: Payment) -> Steps[None]:
    """It was delivered since we looked: the next try gets the same answer. Raises `Unavailable`."""
    if (yield from query(answers.kept, payment)) is not None:
        raise Unavailable(Code.SETTLEMENT_PENDING, reference=payment.reference)


def _purpose(request: HttpRequest, sale: ForSale, url: str) -> ledger.Purpose:
    return ledger.Purpose(
        sale.resource_id, str(request.method), url, sale.policy, holders.browser(request)
    )


def _is_served_in_line(sale: ForSale) -> bool:
    """Whether the view runs for a stranger before the money is there, and not on credit."""
    if sale.policy == Resource.Policy.BACKGROUND:
        return conf.get().credit_after > 0
    return sale.policy == Resource.Policy.AFTER


def _require_means(
    request: HttpRequest, payment: Payment, offer: Offer, claim: Claim
) -> Steps[None]:
    """The same, for a payment that is claimed already."""
    try:
        yield from verification.require_means(request, offer, claim, payment.url)
    except Refused as refused:
        yield from query(ledger.failed, payment, refused.code, "nothing was sent")
        raise
    except Unavailable:
        yield from query(ledger.let_go, payment)
        raise


def _take_up(
    request: HttpRequest, payment: Payment, purpose: ledger.Purpose, *, is_payer: bool = False
) -> Steps[Payment]:
    """Go on with a payment that an earlier request claimed. Raises `Refused`, `Unavailable`."""
    reference = payment.reference
    if (payment.resource_id, payment.method, payment.url) != (
        purpose.resource_id,
        purpose.method,
        purpose.url,
    ):
        raise Refused(Code.RESOURCE_MISMATCH)
    if payment.state == State.LOST:
        raise Refused(Code.PAYMENT_LOST, reference=reference)
    if payment.state == State.FAILED:
        raise Refused(Code.PAYMENT_FAILED)
    may_collect = is_payer or (yield from query(repeats.may_have, request, payment))
    if payment.delivered_at is not None:
        if payment.idempotency_key and may_collect:
            yield from _wait_for_the_answer(payment)
        # Without an offer: a buyer whose response was lost must not pay for it twice.
        receipt = (yield from query(receipts.path, payment)) if may_collect else None
        url = request.build_absolute_uri(receipt) if receipt else ""
        raise Refused(Code.ALREADY_USED, status=409, reference=reference, receipt=url)
    if not may_collect:
        raise Refused(Code.PROOF_REQUIRED, status=403, reference=reference)
    hold = max(conf.get().view_timeout, settlement.settle_hold())
    taken = yield from query(ledger.take_up, payment, hold)
    if taken is None and payment.state == State.SETTLING:
        taken = yield from settlement.overtake(payment)
    if taken is None:
        raise Unavailable(Code.SETTLEMENT_PENDING, reference=reference)
    return taken
