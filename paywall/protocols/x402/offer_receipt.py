"""Offers and receipts that the site signs (x402 specs, extensions/extension-offer-and-receipt.md).

Whoever has them can show what was offered, and that it was delivered, without asking the site. An
offer is signed once a minute for each URL and price, not for each 402.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from paywall import conf, site_key
from paywall.memory import Bounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.vocabulary import Outcome

NAME = "offer-receipt"
SIGNED_FOR = 60
"""Seconds for which one signature serves."""

_OFFERS = "\x00offers"
OFFERS = json.dumps(_OFFERS)
"""As it stands in a challenge's JSON."""

_OFFER = (
    ("version", "uint256"),
    ("resourceUrl", "string"),
    ("scheme", "string"),
    ("network", "string"),
    ("asset", "string"),
    ("payTo", "string"),
    ("amount", "string"),
    ("validUntil", "uint256"),
)
_RECEIPT = (
    ("version", "uint256"),
    ("network", "string"),
    ("resourceUrl", "string"),
    ("payer", "string"),
    ("issuedAt", "uint256"),
    ("transaction", "string"),
)
_signed: Bounded[tuple[str, str, int], str] = Bounded()


def extension() -> dict[str, Any]:
    """The member of `extensions`, where it is on."""
    return {NAME: {"info": {"offers": _OFFERS}}} if conf.get().offer_receipt else {}


def fill(text: str, url: str, accepts: Sequence[Mapping[str, Any]]) -> str:
    """A challenge's JSON with its offers signed for this URL."""
    minute = int(time.time()) // SIGNED_FOR
    key = url, json.dumps(accepts), minute
    signed = _signed.get(key)
    if signed is None:
        offers = [_offer(at, one, url, minute) for at, one in enumerate(accepts)]
        signed = _signed[key] = json.dumps(offers, separators=(",", ":"))
    return text.replace(OFFERS, signed)


def _offer(at: int, accepts: Mapping[str, Any], url: str, minute: int) -> dict[str, Any]:
    named = ("scheme", "network", "asset", "payTo", "amount")
    payload = {
        "version": 1,
        "resourceUrl": url,
        **{name: accepts[name] for name in named},
        "validUntil": (minute + 1) * SIGNED_FOR + accepts["maxTimeoutSeconds"],
    }
    signed = site_key.sign_typed("x402 offer", "Offer", _OFFER, payload)
    return {"format": signed["format"], "acceptIndex": at, **signed}


def receipt(outcome: Outcome) -> dict[str, Any]:
    """The member of an outcome's `extensions`: for what was delivered, where it is on."""
    if not (conf.get().offer_receipt and outcome.success and outcome.payer and outcome.url):
        return {}
    payload = {
        "version": 1,
        "network": outcome.network,
        "resourceUrl": outcome.url,
        "payer": outcome.payer,
        "issuedAt": int(time.time()),
        "transaction": outcome.reference,
    }
    signed = site_key.sign_typed("x402 receipt", "Receipt", _RECEIPT, payload)
    return {NAME: {"info": {"receipt": signed}}}
