"""Permit2, through x402's own proxy contracts: `exact` for tokens without EIP-3009, and `upto`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from paywall import conf
from paywall.exceptions import Code, Refused, malformed
from paywall.rails.evm import eip3009, evidence, networks, permit2, sponsoring
from paywall.rails.evm.addresses import read_field
from paywall.rails.evm.permit2 import PermitTransfer
from paywall.vocabulary import Claim, Finding, Offer

from .base import Signed, could_be_contract, has_enough, moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.effects import Steps
    from paywall.rails.evm.evidence import Depth
    from paywall.rails.evm.rpc import Node, TransactionReceipt
    from paywall.vocabulary import Credential


class Permit2:
    """What buyers sign who approved Permit2 for a token. Whether they did, /verify must say."""

    member: ClassVar[str] = "permit2Authorization"
    spender: ClassVar[str] = permit2.PROXY

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        return None  # x402 v1 knows no Permit2

    def identities(self, credential: Credential, assets: Sequence[str]) -> list[str]:
        return [_identity(credential.network, _read(credential.payload)[0])]

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        permit, signature = _read(credential.payload)
        if permit.spender != self.spender:
            raise Refused(Code.NO_MATCHING_OFFER, "The spender is not x402's Permit2 proxy.")
        if permit.token != offer.terms["asset"]:
            raise Refused(Code.NO_MATCHING_OFFER, "The payment is in another token.")
        if permit.facilitator != offer.terms["extra"].get("facilitatorAddress", ""):
            raise Refused(Code.NO_MATCHING_OFFER, "Another facilitator would have to settle it.")
        signed = Signed(permit.to, permit.value, permit.valid_after, permit.deadline)
        signed.check(offer, now, tolerance)
        digest = permit.digest(networks.chain_id(offer.network))
        beside = {}
        if conf.get().gas_sponsoring:
            beside = sponsoring.read(credential.extensions, permit)
        return Claim(
            amount=offer.amount,
            identity=_identity(offer.network, permit),
            payer=permit.payer,
            expires_at=moment(permit.deadline),
            payload={
                "signature": "0x" + signature.hex(),
                "permit2Authorization": permit.json(),
                **({"extensions": beside} if beside else {}),
            },
            proven=False,
            is_signed=eip3009.signer(digest, signature) == permit.payer,
            network=offer.network,
        )

    def can_afford(self, claim: Claim, offer: Offer, node: Node) -> Steps[bool]:
        return (yield from has_enough(claim, offer, node))

    def is_worth_asking(self, claim: Claim, node: Node | None) -> Steps[bool]:
        """/verify knows the allowance; a plain key's signature is checked here all the same."""
        return claim.is_signed or (yield from could_be_contract(claim, node))

    def call(self, payload: Mapping[str, Any], offer: Offer) -> tuple[str, str] | None:
        return None  # allowances come into it: the official package knows how

    def paid_in(
        self, payload: Mapping[str, Any], offer: Offer, receipt: TransactionReceipt
    ) -> bool:
        return permit2.moved(receipt, _read(payload)[0], offer.amount)

    def find(
        self, payload: Mapping[str, Any], offer: Offer, node: Node, depth: Depth
    ) -> Steps[Finding]:
        permit, _ = _read(payload)
        question = permit2.Question(permit, offer.amount, depth.confirmations, depth.transaction)
        chain_id = networks.chain_id(offer.network)
        return (yield from evidence.on_chain(node, chain_id, permit2.look(node, question)))


def _read(payload: Mapping[str, Any]) -> tuple[PermitTransfer, bytes]:
    fields = payload.get("permit2Authorization")
    try:
        permit = PermitTransfer.read(fields if isinstance(fields, dict) else {})
        return permit, read_field(payload, "signature", eip3009.read_signature)
    except ValueError as error:
        raise malformed(str(error)) from error


def _identity(network: str, permit: PermitTransfer) -> str:
    """A Permit2 nonce is used once by its owner, whatever the token."""
    return f"permit2:{network}:{permit.payer}:{permit.nonce}".lower()
