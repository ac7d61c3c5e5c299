"""Programs that pay by card: MPP's `stripe/charge`, with a shared payment token.

The buyer's agent hands over a token (`spt_...`) that its holder granted to this account at Stripe,
for so much at most. One token is one payment: it is charged once, under one idempotency key,
whoever asks again and in whatever challenge it comes (docs.stripe.com/payments/machine/mpp).
"""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils import timezone

from paywall.effects import query
from paywall.exceptions import Code, Refused
from paywall.rails.base import Unreachable
from paywall.vocabulary import (
    Claim,
    Rejected,
    Settled,
    Undecided,
    Unknown,
    Unspent,
    Verdict,
)

from . import api, finding, orders

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.vocabulary import Charge, Clue, Credential, Finding, Offer, Settlement

log = logging.getLogger(__name__)

SCHEME = "spt"
"""What a buyer's program hands over."""

PROFILE = "networkId"
"""In an offer's terms: to whom tokens are granted, by Stripe's name of the account."""

VERSION = "2026-07-29.preview"
"""Of Stripe's API, in which tokens are known."""

MARK = "paywall_claim"
"""Under which a PaymentIntent's metadata names the claim."""

KEY_GOOD_FOR = timedelta(hours=23)
"""Stripe keeps an idempotency key for a day at least: after that nothing is asked again."""

_TOKEN = re.compile(r"spt_[A-Za-z0-9_]{3,200}")
_PREFIX = "spt:"


def identity(token: str) -> str:
    """By which the ledger knows a token."""
    return f"{_PREFIX}{token}"


def is_one(identity_: str) -> bool:
    """Whether a payment was made so."""
    return identity_.startswith(_PREFIX)


def read(credential: Credential, offer: Offer) -> Claim:
    """The claim. Nobody but Stripe can tell what a token is good for. Raises `Refused`."""
    token = token_of(credential)
    payload = {"spt": token}
    return Claim(identity(token), offer.amount, payload=payload, network=offer.network)


def token_of(credential: Credential) -> str:
    """Raises `Refused`."""
    token = credential.payload.get("spt")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise Refused(Code.INVALID_PAYLOAD)
    return token


class ByToken:
    """Stripe, as who settles."""

    name: ClassVar[str] = "stripe"

    def settle(self, charge: Charge) -> Steps[Settlement]:
        try:
            intent = yield from query(_charged, charge)
        except api.NotTaken as error:
            return Rejected(error.code or Code.SETTLEMENT_REFUSED, str(error))
        except Unreachable as error:
            return Unknown(str(error))
        return (yield from query(_outcome, intent))

    def verify(self, charge: Charge) -> Steps[Verdict]:
        return Verdict(None)
        yield


def _charged(charge: Charge) -> dict[str, Any]:
    """The PaymentIntent of a token: made now, or by whoever asked before."""
    offer, token = charge.offer, charge.identity.removeprefix(_PREFIX)
    params: dict[str, Any] = {
        "amount": offer.amount,
        "currency": offer.currency.lower(),
        "confirm": True,
        "shared_payment_granted_token": token,
        "metadata": {MARK: charge.identity, "machine_payment": "true"},
    }
    if offer.terms.get("descriptor"):
        params["statement_descriptor_suffix"] = offer.terms["descriptor"]
    key = hashlib.sha256(charge.identity.encode()).hexdigest()
    made = api.ask(
        lambda stripe: stripe.v1.payment_intents.create(
            params,  # type: ignore[arg-type]
            options={"idempotency_key": f"paywall-token-{key}", "stripe_version": VERSION},
        )
    )
    return api.plain(made)


def _outcome(intent: dict[str, Any]) -> Settlement:
    if intent["status"] == "succeeded":
        return Settled(intent["id"], amount=int(intent["amount_received"]))
    if intent["status"] == "requires_action":
        # No program can do what the bank asks of a person: so that nothing is taken later, it ends.
        try:
            api.ask(lambda stripe: stripe.v1.payment_intents.cancel(intent["id"]))
        except (api.NotTaken, Unreachable) as error:
            return Unknown(f"it could not be cancelled: {error}", intent["id"])
        return Rejected("authentication_required", "the bank asks for a person")
    if intent["status"] in orders.NEVER:
        return Rejected(Code.SETTLEMENT_REFUSED, orders.declined(intent))
    return Unknown(f"it is {intent['status']}", intent["id"])


def find(charge: Charge, clue: Clue) -> Steps[Finding]:
    """What Stripe shows of a token that was charged, or may have been."""
    try:
        intent = yield from query(_found, charge.identity, clue)
    except (Unreachable, api.NotTaken) as error:
        return Undecided(str(error))
    if intent is None:
        return Unspent(never=timezone.now() - clue.since > KEY_GOOD_FOR)
    return finding.shown(intent)


EARLIER = timedelta(minutes=10)
"""How far Stripe's clock and ours may differ."""


def _found(identity_: str, clue: Clue) -> dict[str, Any] | None:
    if clue.reference:
        return finding.intent(clue.reference)
    since = int((clue.since - EARLIER).timestamp())
    made = api.ask(
        lambda stripe: list(
            stripe.v1.payment_intents.list(
                {
                    "created": {"gte": since},
                    "limit": 100,
                    "expand": [f"data.{finding.EXPAND}"],
                }
            ).auto_paging_iter()
        )
    )
    for one in map(api.plain, made):
        if (one.get("metadata") or {}).get(MARK) == identity_:
            return one
    return None
