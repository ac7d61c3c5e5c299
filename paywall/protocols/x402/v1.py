"""x402 version 1 over HTTP (x402 specs, transports-v1/http.md): the legacy clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from x402.schemas import PaymentPayloadV1, PaymentRequiredV1, PaymentRequirementsV1

from paywall.exceptions import Code, Refused
from paywall.protocols.base import ERROR, URL, check_version, decode, encode
from paywall.rails.evm import networks
from paywall.vocabulary import Credential

from .v2 import settle_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paywall.protocols.base import Goods
    from paywall.vocabulary import Offer, Outcome


class X402V1:
    """Challenge in the JSON body, credential in `X-PAYMENT`.

    Its networks have names; an offer on a network without one is left out, since the old
    clients refuse a whole challenge for one network that they do not know.
    """

    name = "x402/1"
    request_header = "X-PAYMENT"
    response_header = "X-PAYMENT-RESPONSE"

    def read(self, value: str) -> Credential:
        data = decode(value)
        check_version(data, 1)
        try:
            payload = PaymentPayloadV1.model_validate(data)
        except (ValidationError, RecursionError) as error:
            raise Refused(Code.INVALID_PAYLOAD, status=400) from error
        network = networks.from_v1_name(payload.network)
        if network is None:
            raise Refused(Code.NO_MATCHING_OFFER)
        return Credential(
            protocol=self.name, scheme=payload.scheme, network=network, payload=payload.payload
        )

    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> dict[str, Any]:
        accepts = [
            PaymentRequirementsV1(
                scheme=offer.scheme,
                network=name,
                max_amount_required=str(offer.amount),
                resource=URL,
                description=goods.description or goods.title,
                mime_type=goods.mime_type,
                pay_to=offer.pay_to,
                max_timeout_seconds=offer.timeout,
                asset=offer.asset,
                extra=dict(offer.extra),
            )
            for offer in offers
            if (name := networks.v1_name(offer.network))
        ]
        challenge = PaymentRequiredV1(error=ERROR, accepts=accepts)
        return challenge.model_dump(by_alias=True, exclude_none=True)

    def outcome(self, outcome: Outcome) -> str:
        network = networks.v1_name(outcome.network) or outcome.network
        return encode(settle_response(outcome, network))
