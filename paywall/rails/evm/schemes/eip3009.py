"""`exact` by EIP-3009: the token's own `transferWithAuthorization`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from paywall.exceptions import malformed
from paywall.rails.evm import eip3009, evidence, networks, transactions
from paywall.rails.evm.addresses import read_field
from paywall.rails.evm.eip3009 import TransferAuthorization
from paywall.vocabulary import Claim, Finding, Offer

from .base import Signed, could_be_contract, moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.effects import Steps
    from paywall.rails.evm.evidence import Depth
    from paywall.rails.evm.rpc import Node, TransactionReceipt
    from paywall.vocabulary import Credential

_EARLIEST_USE = timedelta(minutes=15)
"""How long before our claim an authorization may have been used: clocks differ."""

_NOT_DEPLOYED = bytes.fromhex("6492") * 16
"""What a signature ends with that brings its wallet's deployment along (ERC-6492)."""


class Eip3009:
    """What most buyers sign."""

    member = "authorization"

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        """By recipient and amount; tokens of one network are told apart by the signature."""
        authorization, signature = _read(credential.payload)
        candidates = [
            offer
            for offer in offers
            if offer.network == credential.network
            and offer.terms["payTo"] == authorization.to
            and offer.amount == authorization.value
        ]
        for offer in candidates:
            if eip3009.signer(_digest(authorization, offer), signature) == authorization.payer:
                return offer
        return candidates[0] if candidates else None

    def identities(self, credential: Credential, assets: Sequence[str]) -> list[str]:
        authorization, _ = _read(credential.payload)
        return [_identity(credential.network, asset, authorization) for asset in assets]

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        authorization, signature = _read(credential.payload)
        signed = Signed(
            authorization.to,
            authorization.value,
            authorization.valid_after,
            authorization.valid_before,
        )
        signed.check(offer, now, tolerance)
        return Claim(
            amount=offer.amount,
            identity=_identity(offer.network, offer.terms["asset"], authorization),
            payer=authorization.payer,
            expires_at=moment(authorization.valid_before),
            payload={
                "signature": "0x" + signature.hex(),
                "authorization": authorization.json(),
            },
            network=offer.network,
            proven=eip3009.signer(_digest(authorization, offer), signature) == authorization.payer,
        )

    def is_worth_asking(self, claim: Claim, node: Node | None) -> Steps[bool]:
        """Only a contract wallet's signature is not for us to check."""
        return (yield from could_be_contract(claim, node))

    def call(self, payload: Mapping[str, Any], offer: Offer) -> tuple[str, str] | None:
        authorization, signature = _read(payload)
        if signature.endswith(_NOT_DEPLOYED):
            return None
        return offer.terms["asset"], transactions.transfer_with_authorization(
            authorization, signature
        )

    def paid_in(
        self, payload: Mapping[str, Any], offer: Offer, receipt: TransactionReceipt
    ) -> bool:
        question = evidence.Question(
            offer.terms["asset"], _read(payload)[0], since=0, confirmations=1
        )
        return evidence.moved(receipt, question)

    def find(
        self, payload: Mapping[str, Any], offer: Offer, node: Node, depth: Depth
    ) -> Steps[Finding]:
        question = evidence.Question(
            token=offer.terms["asset"],
            authorization=_read(payload)[0],
            since=int((depth.since - _EARLIEST_USE).timestamp()),
            confirmations=depth.confirmations,
            transaction=depth.transaction,
            log_range=depth.log_range,
        )
        chain_id = networks.chain_id(offer.network)
        return (yield from evidence.on_chain(node, chain_id, evidence.look(node, question)))


def identity(network: str, asset: str, payer: str, nonce: str) -> str:
    """By what a payment is known; the token uses a payer's nonce once."""
    return f"eip3009:{network}:{asset}:{payer}:{nonce}".lower()


def _read(payload: Mapping[str, Any]) -> tuple[TransferAuthorization, bytes]:
    fields = payload.get("authorization")
    try:
        authorization = TransferAuthorization.read(fields if isinstance(fields, dict) else {})
        return authorization, read_field(payload, "signature", eip3009.read_signature)
    except ValueError as error:
        raise malformed(str(error)) from error


def _identity(network: str, asset: str, authorization: TransferAuthorization) -> str:
    return identity(network, asset, authorization.payer, authorization.nonce)


def _digest(authorization: TransferAuthorization, offer: Offer) -> bytes:
    extra, chain_id = offer.terms["extra"], networks.chain_id(offer.network)
    domain = eip3009.domain_separator(
        extra["name"], extra["version"], chain_id, offer.terms["asset"]
    )
    return authorization.digest(domain)
