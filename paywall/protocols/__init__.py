"""How a payment travels over HTTP. Every protocol is spoken on every response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall.exceptions import Code, Refused
from paywall.protocols.x402.v1 import X402V1
from paywall.protocols.x402.v2 import X402V2

from .base import Challenge, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.vocabulary import Credential, Offer, Outcome

    from .base import Goods

PROTOCOLS: tuple[Protocol, ...] = (X402V2(), X402V1())

REQUEST_HEADERS = tuple(protocol.request_header for protocol in PROTOCOLS)
RESPONSE_HEADERS = ("PAYMENT-REQUIRED", *(protocol.response_header for protocol in PROTOCOLS))

_BY_META_KEY = tuple(
    (f"HTTP_{protocol.request_header.upper().replace('-', '_')}", protocol)
    for protocol in PROTOCOLS
)


def read_credential(meta: Mapping[str, str], limit: int) -> Credential | None:
    """The credential in a request's `META`, or None. Raises `Refused` for a bad one.

    Two payment headers are refused rather than choosing one: what we checked and what a
    proxy or a log believes was paid must be the same.
    """
    found = None
    for key, protocol in _BY_META_KEY:
        value = meta.get(key)
        if value is None:
            continue
        if found is not None:
            raise Refused(Code.AMBIGUOUS_CREDENTIAL, status=400)
        found = (protocol, value)
    if found is None:
        return None
    protocol, value = found
    if len(value) > limit:
        raise Refused(Code.CREDENTIAL_TOO_LARGE, status=400)
    return protocol.read(value)


def challenge(goods: Goods, offers: Sequence[Offer]) -> Challenge:
    """The challenge for a resource, ready to be filled with a request's URL."""
    header, body = PROTOCOLS
    return Challenge(header.challenge(goods, offers), body.challenge(goods, offers))


def outcome_headers(outcome: Outcome) -> dict[str, str]:
    """The headers that tell a buyer of any protocol what became of the payment."""
    return {protocol.response_header: protocol.outcome(outcome) for protocol in PROTOCOLS}


__all__ = ["PROTOCOLS", "Challenge", "Protocol", "challenge", "outcome_headers", "read_credential"]
