"""x402 version 2 over HTTP (x402 specs, transports-v2/http.md)."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from x402.schemas import PaymentPayload, PaymentRequired, ResourceInfo, SettleResponse
from x402.schemas import PaymentRequirements as Requirements

from paywall.protocols.base import ERROR, URL, Part, Protocol, fill, key
from paywall.vocabulary import Credential

from . import bazaar, codec, identifier, offer_receipt, sign_in
from .requirements import can_say, names, requirements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.protocols.base import Goods
    from paywall.vocabulary import Asked, Offer, Outcome

MAX_HEADER_CHARS = 7_500
"""A response header beyond 8 KB, its name and all, breaks common proxies."""

_KEY = key("PAYMENT-SIGNATURE")


class X402V2(Protocol):
    """Challenge in `PAYMENT-REQUIRED`, credential in `PAYMENT-SIGNATURE`."""

    name: ClassVar[str] = "x402/2"
    request_headers: ClassVar[tuple[str, ...]] = ("PAYMENT-SIGNATURE",)
    response_headers: ClassVar[tuple[str, ...]] = ("PAYMENT-REQUIRED", "PAYMENT-RESPONSE")
    how_to_pay: ClassVar[str] = (
        "x402: sign one of the offers in the PAYMENT-REQUIRED header (JSON in base64), and ask "
        "again with PAYMENT-SIGNATURE. Clients for most languages: https://docs.x402.org"
    )

    def find(self, headers: Mapping[str, str]) -> str | None:
        return headers.get(_KEY)

    def read(self, text: str) -> Credential:
        payload = codec.read(text, 2, PaymentPayload)
        return Credential(
            protocol=self.name,
            scheme=payload.accepted.scheme,
            network=payload.accepted.network,
            payload=payload.payload,
            takes=partial(names, payload.accepted.model_dump(by_alias=True)),
            resource_url=payload.resource.url if payload.resource else None,
            idempotency_key=identifier.read(payload.extensions),
            extensions=payload.extensions or {},
        )

    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> Part | None:
        sayable = [offer for offer in offers if can_say(offer)]
        if not sayable:
            return None
        extensions = {
            **identifier.extension(),
            **offer_receipt.extension(),
            **bazaar.extension(goods.interface),
            **goods.extensions,
        }
        if goods.sign_in:
            extensions[sign_in.NAME] = sign_in.extension(goods.sign_in)
        challenge = PaymentRequired(
            error=ERROR,
            resource=ResourceInfo(
                url=URL,
                description=goods.description or goods.title or None,
                mime_type=goods.mime_type or None,
            ),
            accepts=[Requirements.model_validate(requirements(offer)) for offer in sayable],
            extensions=extensions or None,
        )
        return InHeader(challenge.model_dump(by_alias=True, exclude_none=True))

    def outcome(self, outcome: Outcome) -> Mapping[str, str]:
        told = settle_response(outcome, outcome.network)
        if receipt := offer_receipt.receipt(outcome):
            told["extensions"] = receipt
        return {"PAYMENT-RESPONSE": codec.encode(told)}

    def without_offer(self, code: str) -> Mapping[str, Any]:
        return {"x402Version": 2, "error": code}


class InHeader(Part):
    """JSON as base64 in `PAYMENT-REQUIRED`, never longer than proxies take."""

    __slots__ = ("_object", "_signs_in", "_signs_offers", "_text")

    def __init__(self, challenge: dict[str, Any]) -> None:
        self._object = challenge
        self._text = json.dumps(challenge, separators=(",", ":"))
        extensions = challenge.get("extensions", {})
        self._signs_in = sign_in.NAME in extensions
        self._signs_offers = offer_receipt.NAME in extensions

    def headers(self, asked: Asked, code: str) -> Mapping[str, str]:
        url = asked.url
        text = fill(self._text, url, code)
        if self._signs_in:
            text = sign_in.fill(text, url)
        if self._signs_offers:
            text = offer_receipt.fill(text, url, self._object["accepts"])
        value = codec.encode_text(text)
        if len(value) > MAX_HEADER_CHARS:
            value = self._shortened(url, code)
        return {"PAYMENT-REQUIRED": value}

    def _shortened(self, url: str, code: str) -> str:
        """Leave out what a buyer can do without: first the prose and signing in, then the URL, then
        offers."""
        short = {key: value for key, value in self._object.items() if key != "extensions"}
        resource = {key: value for key, value in short["resource"].items() if key == "url"}
        short["resource"] = resource
        while True:
            value = codec.encode_text(fill(json.dumps(short, separators=(",", ":")), url, code))
            if len(value) <= MAX_HEADER_CHARS:
                return value
            if "resource" in short:
                del short["resource"]
            else:
                short["accepts"] = short["accepts"][:-1]


def settle_response(outcome: Outcome, network: str) -> dict[str, Any]:
    """An outcome as the JSON of x402's `SettleResponse`."""
    response = SettleResponse(
        success=outcome.success,
        error_reason=outcome.error_code or None,
        error_message=outcome.error_message or None,
        payer=outcome.payer or None,
        transaction=outcome.reference,
        network=network,
        amount=outcome.amount or None,
        extra=dict(outcome.extra) or None,
    )
    return response.model_dump(by_alias=True, exclude_none=True)
