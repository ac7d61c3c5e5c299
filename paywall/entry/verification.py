"""Is a credential good for one of our offers? As steps, before anything is claimed."""

from __future__ import annotations

import logging
import time
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from django.utils import timezone

from paywall import adapter, conf, durable, ledger
from paywall.catalog import audiences, offers
from paywall.effects import query
from paywall.exceptions import Code, Refused, Unavailable
from paywall.holders import throttle
from paywall.memory import Bounded
from paywall.models import Payment
from paywall.models.literals import one_of
from paywall.models.payments import PAID
from paywall.rails import registry
from paywall.rails.base import KnowsMeans, Unreachable
from paywall.settlement import facilitators
from paywall.vocabulary import Charge, Verdict

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.vocabulary import Asked, Claim, Credential, Offer

log = logging.getLogger(__name__)

BELIEVED_FOR = 5
"""Seconds for which a payer who had the money is taken to have it still."""


class _Balance(NamedTuple):
    amount: Decimal
    until: float
    """On the monotonic clock."""


_balances: Bounded[tuple[int, str], _Balance] = Bounded()
_paid_before: Bounded[str, None] = Bounded()

TO_SETTLE_ON_CREDIT = 30
"""Seconds beyond a settle call for which an authorization must be valid to be had on credit."""


def check(sale: ForSale, credential: Credential, asked: Asked) -> Steps[tuple[Offer, Claim]]:
    """It was made for such a request and takes an offer of ours; its signature, window, amount and
    recipient are right. Returns the offer and the claim.

    Raises `Refused`; `Unavailable` where somebody has to be asked who does not answer.
    """
    if credential.resource_url is not None and credential.resource_url not in asked.urls:
        raise Refused(Code.RESOURCE_MISMATCH)
    if credential.is_made_for is not None and not credential.is_made_for(asked):
        raise Refused(Code.RESOURCE_MISMATCH)
    _, url = asked.urls
    now, tolerance = time.time(), conf.get().clock_tolerance
    refused = None
    try:
        offer = offers.match(sale, credential, now)
        claim = offers.reader(offer.rail).read(credential, offer, now, tolerance)
        if claim.proven:
            return offer, claim
    except Refused as error:
        if error.code not in (Code.NO_MATCHING_OFFER, Code.EXPIRED):
            raise
        refused = error
    # Neither a newer price, nor time, nor a used nonce takes from a buyer what it paid for.
    earlier = yield from query(_accepted_earlier, credential)
    if earlier is not None:
        return earlier
    if refused is not None:
        raise refused
    yield from _ask_facilitator(offer, claim, url)
    return offer, claim


def may_have_credit(claim: Claim) -> bool:
    """Whether a claim can be settled later than it is served: it is proven (or signed, and the rest
    was asked), its payer is known, and there is time to send it."""
    if not (claim.proven or claim.is_signed) or claim.payer is None:
        return False
    if claim.expires_at is None:
        return True
    settings = conf.get()
    call = settings.facilitator_connect_timeout + settings.facilitator_read_timeout
    left = (claim.expires_at - timezone.now()).total_seconds()
    return left > call + TO_SETTLE_ON_CREDIT


def balance(offer: Offer, claim: Claim) -> Steps[Decimal | None]:
    """What a payer has, in units of the offer's currency; None where nobody can be asked.

    Zero where who could be asked does not answer. Kept for some seconds.
    """
    rail = registry.able(offer.rail, KnowsMeans)
    if claim.payer is None or rail is None or not conf.get().balance_check:
        return None
    if not rail.can_ask(offer.network):
        return None
    key = (offer.account_id, claim.payer)
    known = _balances.get(key)
    if known is not None and time.monotonic() < known.until:
        return known.amount
    try:
        found = yield from rail.balance(offer, claim.payer)
    except Unreachable as error:
        log.warning("Cannot look up a payer's balance: %s", error)
        return Decimal(0)
    _balances[key] = _Balance(found, time.monotonic() + BELIEVED_FOR)
    return found


def is_stranger(payer: str | None) -> bool:
    """Whether this process does not know yet that a payer has paid here before."""
    return conf.get().balance_check and payer is not None and payer not in _paid_before


def require_means(request: HttpRequest, offer: Offer, claim: Claim, url: str) -> Steps[None]:
    """A payer who never paid here has the money, says the node or the facilitator: before a view
    runs for it that costs us something. Raises `Refused`, `Unavailable`."""
    payer = str(claim.payer)
    if (yield from query(_has_paid, payer)):
        _paid_before[payer] = None
        return
    yield from _require_patience(request, throttle.POOR_PAYERS)
    try:
        rail = registry.able(offer.rail, KnowsMeans)
        if rail is None or not rail.can_ask(offer.network):
            if claim.proven:  # else it was asked already
                yield from _have_verified(offer, claim, url)
            return
        try:
            if not (yield from rail.can_afford(claim, offer)):
                raise Refused(Code.INSUFFICIENT_FUNDS)
        except Unreachable as error:
            # Who could be asked is a help here: settling will tell.
            log.warning("Cannot look up a payer's balance: %s", error)
    except Refused:
        yield from query(throttle.POOR_PAYERS.count, request)
        raise


def require_patience(request: HttpRequest) -> Steps[None]:
    """A payment whose payer nobody knows is only found good or bad by taking it; who brings many
    bad ones has to wait. Raises `Unavailable`."""
    yield from _require_patience(request, throttle.UNKNOWN_PAYERS)


def was_bad(request: HttpRequest) -> Steps[None]:
    """Such a payment was a bad one."""
    yield from query(throttle.UNKNOWN_PAYERS.count, request)


def _require_patience(request: HttpRequest, limit: throttle.Limit) -> Steps[None]:
    if (yield from query(limit.is_reached, request)):
        raise Unavailable(Code.TOO_MANY_REQUESTS, status=429)


@durable.read
def _has_paid(payer: str) -> bool:
    payments = Payment.objects.using(durable.alias())
    return payments.filter(one_of("state", PAID), payer=payer).exists()


@durable.read
def _accepted_earlier(credential: Credential) -> tuple[Offer, Claim] | None:
    """What the very same credential was accepted for before."""
    try:
        payment = ledger.find(offers.identities(credential))
        if payment is None:
            return None
        offer, then = payment.taken_offer, payment.created_at.timestamp()
        claim = offers.reader(offer.rail).read(credential, offer, then, conf.get().clock_tolerance)
    except Refused:
        return None
    return (offer, claim) if claim.payload == payment.payload else None


def may_pay(request: HttpRequest, sale: ForSale, claim: Claim | None = None) -> Steps[None]:
    """The site's adapter has nothing against it; or the claim was taken before, and is collected.
    Raises `Refused`, `Unavailable`."""
    if not adapter.has_own("may_pay"):
        return
    try:
        yield from query(audiences.may_pay, request, sale)
    except (Refused, Unavailable):
        if claim is None or (yield from query(ledger.find, [claim.identity])) is None:
            raise


def _ask_facilitator(offer: Offer, claim: Claim, url: str) -> Steps[None]:
    """What is not proven here, the settling party may know better: it must say so."""
    try:
        if not (yield from offers.reader(offer.rail).is_worth_asking(claim)):
            raise Refused(Code.BAD_SIGNATURE)
    except Unreachable as error:
        log.warning("Cannot look up the payer of an unproven signature: %s", error)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE) from error
    yield from _have_verified(offer, claim, url)


def _have_verified(offer: Offer, claim: Claim, url: str) -> Steps[None]:
    """The facilitator's /verify says that it is good. Raises `Refused`, `Unavailable`."""
    charge = Charge(offer, claim.payload or {}, claim.payer or "", url, claim.identity)
    verdict = Verdict(None)
    for facilitator in (yield from facilitators.for_offer(offer)):
        verdict = yield from facilitator.verify(charge)
        if verdict.valid is not None:
            break
    if verdict.valid is None:
        log.warning("The facilitator could not verify a signature: %s", verdict.reason)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
    if not verdict.valid:
        detail = f"The facilitator says: {verdict.reason}." if verdict.reason else ""
        raise Refused(Code.VERIFICATION_FAILED, detail)
