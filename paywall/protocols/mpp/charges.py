"""The methods that MPP knows and we take: how each says an offer, and what its payload is to us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from eth_utils.crypto import keccak

from paywall import conf
from paywall.exceptions import Code, Refused
from paywall.protocols.mpp.wire import no_credential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.protocols.mpp.wire import Echo
    from paywall.vocabulary import Offer

INTENT = "charge"


class _Charge:
    """What both methods have."""

    method: ClassVar[str]
    scheme: ClassVar[str]
    """What a credential of it is to us."""
    _NAMESPACE: ClassVar[str]

    def is_of(self, network: str) -> bool:
        """Whether money that moved there was paid so."""
        return network.startswith(self._NAMESPACE)


class AuthorizationCharge(_Charge):
    """`evm/charge` with an EIP-3009 authorization (draft-evm-charge-00): what x402's scheme `exact`
    signs as well, so one authorization is one payment in either dialect."""

    method: ClassVar[str] = "evm"
    scheme: ClassVar[str] = "exact"
    _NAMESPACE: ClassVar[str] = "eip155:"
    _SIGNED = ("from", "to", "value", "validAfter", "validBefore", "nonce")

    def request(self, offer: Offer) -> dict[str, Any] | None:
        """The offer in its words; None if it has none."""
        if offer.scheme != "exact" or not offer.network.startswith(self._NAMESPACE):
            return None
        if not {"name", "version"} <= offer.terms.get("extra", {}).keys():
            return None
        return {
            "amount": str(offer.amount),
            "currency": offer.terms["asset"],
            "recipient": offer.terms["payTo"],
            "methodDetails": {
                "chainId": int(offer.network.removeprefix(self._NAMESPACE)),
                "credentialTypes": ["authorization"],
                "decimals": offer.decimals,
            },
        }

    def network(self, request: Mapping[str, Any]) -> str:
        """Where the money of one of our own requests moves."""
        return f"{self._NAMESPACE}{request['methodDetails']['chainId']}"

    def payload(self, echo: Echo, payload: Mapping[str, Any]) -> dict[str, Any]:
        """What was signed, as the scheme `exact` has it. Raises `Refused`.

        The nonce binds it to the challenge. How it is made of that, the draft and one library say
        in one way and another library in another: who made either knew the challenge.
        """
        if payload.get("type") != "authorization":
            raise Refused(Code.UNSUPPORTED_SCHEME, status=400)
        signed = {name: payload.get(name) for name in self._SIGNED}
        for name, value in {**signed, "signature": payload.get("signature")}.items():
            if not isinstance(value, str):
                raise no_credential(f"payload.{name} is not a string")
        listed = f'["{echo.id}","{echo.realm}"]'
        nonces = {f"0x{keccak(text=text).hex()}" for text in (echo.id + echo.realm, listed)}
        if str(signed["nonce"]).lower() not in nonces:
            raise Refused(Code.VERIFICATION_FAILED, "The nonce is not the challenge's hash.")
        return {"signature": payload["signature"], "authorization": signed}


class TokenCharge(_Charge):
    """`stripe/charge` with a shared payment token (draft-stripe-charge-00): cards, for programs."""

    method: ClassVar[str] = "stripe"
    scheme: ClassVar[str] = "spt"
    _NAMESPACE: ClassVar[str] = "stripe:"

    def request(self, offer: Offer) -> dict[str, Any] | None:
        """The offer in its words; None if it has none."""
        profile = offer.terms.get("networkId")
        if not profile:
            return None
        return {
            "amount": str(offer.amount),
            "currency": offer.currency.lower(),
            "methodDetails": {"networkId": profile, "paymentMethodTypes": ["card", "link"]},
        }

    def network(self, request: Mapping[str, Any]) -> str:
        """Where the money of one of our own requests moves: the site's key says it."""
        cards = conf.get().cards()
        return f"{self._NAMESPACE}{'test' if cards is not None and cards.is_test else 'live'}"

    def payload(self, echo: Echo, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The token. Raises `Refused`."""
        token = payload.get("spt")
        if not isinstance(token, str):
            raise no_credential("payload.spt is not a string")
        return {"spt": token}


METHODS: tuple[AuthorizationCharge | TokenCharge, ...] = (AuthorizationCharge(), TokenCharge())
