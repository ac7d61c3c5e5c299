"""x402 version 1 over HTTP (x402 specs, transports-v1/http.md): the legacy clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from x402.schemas import PaymentPayloadV1, PaymentRequiredV1, PaymentRequirementsV1

from paywall.exceptions import Code, Refused
from paywall.protocols.base import ERROR, URL, Part, Protocol, key
from paywall.vocabulary import Credential

from . import codec, v1_names
from .requirements import can_say, extra
from .v2 import settle_response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.protocols.base import Goods
    from paywall.vocabulary import Offer, Outcome

_KEY = key("X-PAYMENT")


class X402V1(Protocol):
    """Challenge in the JSON body, credential in `X-PAYMENT`.

    Its networks have names; an offer on a network without one is left out, since the old
    clients refuse a whole challenge for one network that they do not know.
    """

    name: ClassVar[str] = "x402/1"
    request_headers: ClassVar[tuple[str, ...]] = ("X-PAYMENT",)
    response_headers: ClassVar[tuple[str, ...]] = ("X-PAYMENT-RESPONSE",)

    def find(self, headers: Mapping[str, str]) -> str | None:
        return headers.get(_KEY)

    def read(self, text: str) -> Credential:
        payload = codec.read(text, 1, PaymentPayloadV1)
        network = v1_names.network(payload.network)
        if network is None:
            raise Refused(Code.NO_MATCHING_OFFER)
        return Credential(
            protocol=self.name, scheme=payload.scheme, network=network, payload=payload.payload
        )

    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> Part | None:
        fixed = [offer for offer in offers if can_say(offer) and not offer.at_most]
        if not fixed:
            return None
        accepts = [
            PaymentRequirementsV1(
                scheme=offer.scheme,
                network=name,
                max_amount_required=str(offer.amount),
                resource=URL,
                description=goods.description or goods.title,
                mime_type=goods.mime_type,
                pay_to=offer.terms["payTo"],
                max_timeout_seconds=offer.timeout,
                asset=offer.terms["asset"],
                extra=extra(offer),
            )
            for offer in fixed
            if (name := v1_names.name(offer.network))
        ]
        challenge = PaymentRequiredV1(error=ERROR, accepts=accepts)
        return InBody(challenge.model_dump(by_alias=True, exclude_none=True))

    def outcome(self, outcome: Outcome) -> Mapping[str, str]:
        network = v1_names.name(outcome.network) or outcome.network
        return {"X-PAYMENT-RESPONSE": codec.encode(settle_response(outcome, network))}


class InBody(Part):
    """Members of the JSON body."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members

    def members(self) -> Mapping[str, Any]:
        return self._members
