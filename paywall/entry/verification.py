"""Is a credential good for one of our offers? As steps, before anything is claimed."""

from __future__ import annotations

import logging
import time
from decimal import Decimal
from typing import TYPE_CHECKING

from django.utils import timezone

from paywall import conf, durable, ledger
from paywall.catalog import offers
from paywall.effects import query
from paywall.exceptions import Code, Refused, Unavailable
from paywall.holders import throttle
from paywall.memory import Bounded
from paywall.models import Payment
from paywall.models.literals import one_of
from paywall.models.payments import PAID
from paywall.rails.evm import exact, nodes
from paywall.rails.evm.rpc import NodeError
from paywall.settlement import facilitators

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps
    from paywall.vocabulary import Authorization, Credential, Offer

log = logging.getLogger(__name__)

BELIEVED_FOR = 5
"""Seconds for which a payer who had the money is taken to have it still."""

_balances: Bounded[tuple[str, str, str], tuple[float, Decimal]] = Bounded()
_paid_before: Bounded[str, None] = Bounded()

TO_SETTLE_ON_CREDIT = 30
"""Seconds beyond a settle call for which an authorization must be valid to be had on credit."""


def check(
    sale: ForSale, credential: Credential, urls: tuple[str, str]
) -> Steps[tuple[Offer, Authorization]]:
    """It was made for this URL (as it was asked for, and as it is kept) and takes an offer of
    ours; its signature, window, amount and recipient are right. Returns the offer and the
    authorization in one spelling.

    Raises `Refused`; `Unavailable` where somebody has to be asked who does not answer.
    """
    if credential.resource_url is not None and credential.resource_url not in urls:
        raise Refused(Code.RESOURCE_MISMATCH)
    _, url = urls
    now, tolerance = time.time(), conf.get().clock_tolerance
    refused = None
    try:
        offer = offers.match(sale, credential, now)
        authorization = exact.named(offer.scheme).read(credential, offer, now, tolerance)
        if authorization.proven:
            return offer, authorization
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
    yield from _ask_facilitator(offer, authorization, url)
    return offer, authorization


def may_have_credit(authorization: Authorization) -> bool:
    """Whether an authorization can be settled later than it is served: it is a plain key's, and
    there is time to send it."""
    settings = conf.get()
    call = settings.facilitator_connect_timeout + settings.facilitator_read_timeout
    left = (authorization.expires_at - timezone.now()).total_seconds()
    return authorization.proven and left > call + TO_SETTLE_ON_CREDIT


def balance(offer: Offer, authorization: Authorization) -> Steps[Decimal | None]:
    """What a payer has, in units of the offer's currency; None where nobody can be asked.

    Zero where the node does not answer, and for contract wallets: what they say now is not what
    they do then. Kept for some seconds.
    """
    node = nodes.of(offer.network)
    if node is None or not conf.get().balance_check:
        return None
    key = (offer.network, offer.asset, authorization.payer)
    known = _balances.get(key)
    if known is not None and time.monotonic() < known[0]:
        return known[1]
    try:
        if (yield from node.has_code(authorization.payer)):
            found = Decimal(0)
        else:
            units = yield from node.balance_of(offer.asset, authorization.payer)
            found = Decimal(units).scaleb(-offer.decimals)
    except NodeError as error:
        log.warning("Cannot look up a payer's balance: %s", error)
        return Decimal(0)
    _balances[key] = time.monotonic() + BELIEVED_FOR, found
    return found


def is_stranger(payer: str) -> bool:
    """Whether this process does not know yet that a payer has paid here before."""
    return conf.get().balance_check and payer not in _paid_before


def require_means(
    request: HttpRequest, offer: Offer, authorization: Authorization, url: str
) -> Steps[None]:
    """A payer who never paid here has the money, says the node or the facilitator: before a view
    runs for it that costs us something. Raises `Refused`, `Unavailable`."""
    payer = authorization.payer
    if (yield from query(_has_paid, payer)):
        _paid_before[payer] = None
        return
    if (yield from query(throttle.POOR_PAYERS.is_reached, request)):
        raise Unavailable(Code.TOO_MANY_REQUESTS, status=429)
    try:
        node = nodes.of(offer.network)
        if node is None:
            if authorization.proven:  # else it was asked already
                yield from _have_verified(offer, authorization, url)
            return
        scheme = exact.named(offer.scheme)
        try:
            if not (yield from scheme.can_afford(authorization, offer, node)):
                raise Refused(Code.INSUFFICIENT_FUNDS)
        except NodeError as error:
            # The node is a help here: settling will tell.
            log.warning("Cannot look up a payer's balance: %s", error)
    except Refused:
        yield from query(throttle.POOR_PAYERS.count, request)
        raise


@durable.read
def _has_paid(payer: str) -> bool:
    payments = Payment.objects.using(durable.alias())
    return payments.filter(one_of("state", PAID), payer=payer).exists()


@durable.read
def _accepted_earlier(credential: Credential) -> tuple[Offer, Authorization] | None:
    """What the very same credential was accepted for before."""
    scheme = exact.get(credential.scheme)
    if scheme is None:
        return None
    try:
        identities = scheme.identities(credential, offers.assets(credential.network))
        payment = ledger.find(identities)
        if payment is None:
            return None
        offer, then = payment.taken_offer, payment.created_at.timestamp()
        authorization = scheme.read(credential, offer, then, conf.get().clock_tolerance)
    except Refused:
        return None
    return (offer, authorization) if authorization.payload == payment.payload else None


def _ask_facilitator(offer: Offer, authorization: Authorization, url: str) -> Steps[None]:
    """What is no plain key's signature may be a contract wallet's: /verify must say so."""
    scheme = exact.named(offer.scheme)
    try:
        node = nodes.of(offer.network)
        if not (yield from scheme.is_worth_asking(authorization, node)):
            raise Refused(Code.BAD_SIGNATURE)
    except NodeError as error:
        log.warning("Cannot look up the payer of an unproven signature: %s", error)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE) from error
    yield from _have_verified(offer, authorization, url)


def _have_verified(offer: Offer, authorization: Authorization, url: str) -> Steps[None]:
    """The facilitator's /verify says that it is good. Raises `Refused`, `Unavailable`."""
    order = facilitators.Order(
        offer, authorization.payload, authorization.payer, url, authorization.identity
    )
    verdict = facilitators.Verdict(None)
    for facilitator in (yield from facilitators.for_account(offer.account_id)):
        verdict = yield from facilitator.verify(order)
        if verdict.valid is not None:
            break
    if verdict.valid is None:
        log.warning("The facilitator could not verify a signature: %s", verdict.reason)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
    if not verdict.valid:
        detail = f"The facilitator says: {verdict.reason}." if verdict.reason else ""
        raise Refused(Code.VERIFICATION_FAILED, detail)
