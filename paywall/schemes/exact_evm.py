"""x402 `exact` on EVM chains by EIP-3009 (x402 specs, schemes/exact/scheme_exact_evm.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from paywall.evm import eip3009, evidence, networks
from paywall.evm.eip3009 import TransferAuthorization
from paywall.exceptions import Code, Refused
from paywall.vocabulary import Authorization, Finding, Offer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.evm.rpc import Node
    from paywall.steps import Steps
    from paywall.vocabulary import Credential

_EARLIEST_USE = timedelta(minutes=15)
"""How long before our claim an authorization may have been used: clocks differ."""


class ExactEvm:
    """A fixed amount, moved by the token's own `transferWithAuthorization`."""

    name = "exact"

    def extra_for(self, name: str, version: str) -> Mapping[str, str]:
        return {"name": name, "version": version}

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        """By recipient and amount; tokens of one network are told apart by the signature."""
        fields = credential.payload.get("authorization")
        try:
            authorization = TransferAuthorization.read(fields if isinstance(fields, dict) else {})
            signature = eip3009.read_signature(credential.payload.get("signature"))
        except ValueError as error:
            raise Refused(Code.INVALID_PAYLOAD, str(error), status=400) from error
        candidates = [
            offer
            for offer in offers
            if offer.scheme == self.name
            and offer.network == credential.network
            and offer.pay_to == authorization.to
            and offer.amount == authorization.value
        ]
        for offer in candidates:
            if eip3009.signer(_digest(authorization, offer), signature) == authorization.payer:
                return offer
        return candidates[0] if candidates else None

    def identities(self, credential: Credential, assets: Sequence[str]) -> list[str]:
        fields = credential.payload.get("authorization")
        try:
            authorization = TransferAuthorization.read(fields if isinstance(fields, dict) else {})
        except ValueError:
            return []
        return [_identity(credential.network, asset, authorization) for asset in assets]

    def read(
        self, credential: Credential, offer: Offer, now: float, tolerance: float
    ) -> Authorization:
        fields = credential.payload.get("authorization")
        if not isinstance(fields, dict):
            raise Refused(
                Code.INVALID_PAYLOAD, "payload.authorization is missing: EIP-3009 is what is sold."
            )
        try:
            authorization = TransferAuthorization.read(fields)
            signature = eip3009.read_signature(credential.payload.get("signature"))
        except ValueError as error:
            raise Refused(Code.INVALID_PAYLOAD, f"payload: {error}", status=400) from error
        if authorization.to != offer.pay_to:
            raise Refused(Code.WRONG_RECIPIENT)
        if authorization.value != offer.amount:
            raise Refused(Code.WRONG_AMOUNT)
        if authorization.valid_after > now + tolerance:
            raise Refused(Code.NOT_YET_VALID)
        if authorization.valid_before <= now - tolerance:
            raise Refused(Code.EXPIRED)
        return Authorization(
            identity=_identity(offer.network, offer.asset, authorization),
            payer=authorization.payer,
            expires_at=_moment(authorization.valid_before),
            payload={
                "signature": "0x" + signature.hex(),
                "authorization": authorization.json(),
            },
            proven=eip3009.signer(_digest(authorization, offer), signature) == authorization.payer,
        )

    def could_be_contract(self, authorization: Authorization, node: Node | None) -> Steps[bool]:
        """A longer signature says so itself; 65 bytes only if code lives at the payer.

        Otherwise a facilitator that says yes to everything could let a forger in.
        """
        signature = eip3009.read_signature(authorization.payload["signature"])
        if len(signature) != eip3009.PLAIN_SIGNATURE_BYTES:
            return True
        return node is not None and (yield from node.has_code(authorization.payer))

    def find(
        self,
        payload: Mapping[str, Any],
        offer: Offer,
        node: Node,
        *,
        since: datetime,
        confirmations: int,
        transaction: str,
    ) -> Steps[Finding]:
        question = evidence.Question(
            chain_id=networks.chain_id(offer.network),
            token=offer.asset,
            authorization=TransferAuthorization.read(payload["authorization"]),
            since=int((since - _EARLIEST_USE).timestamp()),
            confirmations=confirmations,
            transaction=transaction,
        )
        return (yield from evidence.look(node, question))


def _identity(network: str, asset: str, authorization: TransferAuthorization) -> str:
    return f"eip3009:{network}:{asset}:{authorization.payer}:{authorization.nonce}".lower()


def _digest(authorization: TransferAuthorization, offer: Offer) -> bytes:
    domain = eip3009.domain_separator(
        offer.extra["name"], offer.extra["version"], networks.chain_id(offer.network), offer.asset
    )
    return authorization.digest(domain)


_LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC)


def _moment(timestamp: int) -> datetime:
    """Unix seconds as a time; `validBefore` may be any 256-bit number."""
    if timestamp >= _LAST_MOMENT.timestamp():
        return _LAST_MOMENT
    return datetime.fromtimestamp(timestamp, UTC)
