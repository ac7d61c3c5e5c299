"""Is a credential good for one of our offers? As steps, before anything is claimed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from paywall import conf, facilitators, ledger, nodes, offers, schemes
from paywall.evm.rpc import NodeError
from paywall.exceptions import Code, Refused, Unavailable
from paywall.steps import query

if TYPE_CHECKING:
    from paywall.offers import ForSale
    from paywall.steps import Steps
    from paywall.vocabulary import Authorization, Credential, Offer

log = logging.getLogger(__name__)

BELIEVED_FOR = 30
"""Seconds for which a payer who had the money is taken to have it still."""

MOST_KNOWN = 10_000
_solvent: dict[tuple[str, str, str, int], float] = {}


def check(sale: ForSale, credential: Credential, url: str) -> Steps[tuple[Offer, Authorization]]:
    """It was made for this URL and takes an offer of ours; its signature, window, amount and
    recipient are right. Returns the offer and the authorization in one spelling.

    Raises `Refused`; `Unavailable` where somebody has to be asked who does not answer.
    """
    if credential.resource_url not in (None, url):
        raise Refused(Code.RESOURCE_MISMATCH)
    now, tolerance = time.time(), conf.get().clock_tolerance
    refused = None
    try:
        offer = offers.match(sale, credential, now)
        authorization = schemes.named(offer.scheme).read(credential, offer, now, tolerance)
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


def can_afford(offer: Offer, authorization: Authorization) -> Steps[bool]:
    """Whether a payer seems to have the money, for those who may have content on credit.

    True where nobody can be asked; False where the node does not answer. Kept for a while.
    """
    node = nodes.of(offer.network)
    if node is None or not conf.get().balance_check:
        return True
    key = (offer.network, offer.asset, authorization.payer, offer.amount)
    known = _solvent.get(key)
    if known is not None and time.monotonic() < known:
        return True
    try:
        if not (yield from schemes.named(offer.scheme).can_afford(authorization, offer, node)):
            return False
    except NodeError as error:
        log.warning("Cannot look up a payer's balance: %s", error)
        return False
    if len(_solvent) >= MOST_KNOWN:
        _solvent.clear()
    _solvent[key] = time.monotonic() + BELIEVED_FOR
    return True


def _accepted_earlier(credential: Credential) -> tuple[Offer, Authorization] | None:
    """What the very same credential was accepted for before."""
    scheme = schemes.get(credential.scheme)
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
    scheme = schemes.named(offer.scheme)
    try:
        node = nodes.of(offer.network)
        if not (yield from scheme.is_worth_asking(authorization, node)):
            raise Refused(Code.BAD_SIGNATURE)
    except NodeError as error:
        log.warning("Cannot look up the payer of an unproven signature: %s", error)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE) from error
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
