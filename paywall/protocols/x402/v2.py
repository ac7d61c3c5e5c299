"""x402 version 2 over HTTP (x402 specs, transports-v2/http.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from x402.schemas import PaymentPayload, PaymentRequired, ResourceInfo, SettleResponse
from x402.schemas import PaymentRequirements as Requirements

from paywall.exceptions import Code, Refused
from paywall.protocols.base import ERROR, URL, check_version, decode, encode
from paywall.vocabulary import Credential

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paywall.protocols.base import Goods
    from paywall.vocabulary import Offer, Outcome


class X402V2:
    """Challenge in `PAYMENT-REQUIRED`, credential in `PAYMENT-SIGNATURE`."""

    name = "x402/2"
    request_header = "PAYMENT-SIGNATURE"
    response_header = "PAYMENT-RESPONSE"

    def read(self, value: str) -> Credential:
        data = decode(value)
        check_version(data, 2)
        try:
            payload = PaymentPayload.model_validate(data)
        except (ValidationError, RecursionError) as error:
            raise Refused(Code.INVALID_PAYLOAD, status=400) from error
        return Credential(
            protocol=self.name,
            scheme=payload.accepted.scheme,
            network=payload.accepted.network,
            payload=payload.payload,
            accepted=payload.accepted.model_dump(by_alias=True),
            resource_url=payload.resource.url if payload.resource else None,
        )

    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> dict[str, Any]:
        challenge = PaymentRequired(
            error=ERROR,
            resource=ResourceInfo(
                url=URL,
                description=goods.description or goods.title or None,
                mime_type=goods.mime_type or None,
            ),
            accepts=[Requirements.model_validate(offer.requirements()) for offer in offers],
        )
        return challenge.model_dump(by_alias=True, exclude_none=True)

    def outcome(self, outcome: Outcome) -> str:
        return encode(settle_response(outcome, outcome.network))


def settle_response(outcome: Outcome, network: str) -> dict[str, Any]:
    """An outcome as the JSON of x402's `SettleResponse`."""
    response = SettleResponse(
        success=outcome.success,
        error_reason=outcome.error_code or None,
        error_message=outcome.error_message or None,
        payer=outcome.payer or None,
        transaction=outcome.transaction,
        network=network,
        amount=outcome.amount or None,
        extra=dict(outcome.extra) or None,
    )
    return response.model_dump(by_alias=True, exclude_none=True)
