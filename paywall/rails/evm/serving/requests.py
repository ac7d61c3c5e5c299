"""What a client of this facilitator asks for, read from the bodies of x402 v1 and v2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from x402.schemas import (
    PaymentPayload,
    PaymentPayloadV1,
    PaymentRequirements,
    PaymentRequirementsV1,
)

from paywall.protocols.x402 import v1_names
from paywall.rails.evm import nodes, schemes
from paywall.rails.evm.addresses import checksum, read_uint256
from paywall.rails.evm.schemes.upto import UpToEvm
from paywall.rails.evm.terms import RAIL
from paywall.vocabulary import Offer

LONGEST_NAME = 200
"""Of a token or its version: what is made of it is kept, and a stranger chooses it."""


class Malformed(Exception):
    """Not a request that can be answered; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One payment, and what it is for."""

    offer: Offer
    payload: Mapping[str, Any]
    url: str
    named: str
    """The network, as the client spells it."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """What was signed beside the payment."""
    amount: int | None = None
    """So much is to be taken, of what is charged by use."""


def read(body: bytes) -> Asked:
    """Raises `Malformed`."""
    try:
        request = json.loads(body)
        version = request["x402Version"]
        payload, requirements = request["paymentPayload"], request["paymentRequirements"]
        if version == 1:
            return _v1(payload, requirements)
        if version == 2:
            return _v2(payload, requirements)
    except (ValueError, KeyError, TypeError, ValidationError, RecursionError) as error:
        raise Malformed(f"invalid request: {type(error).__name__}") from error
    raise Malformed("x402Version must be 1 or 2")


def _v2(payload: Any, requirements: Any) -> Asked:
    presented = PaymentPayload.model_validate(payload)
    wanted = PaymentRequirements.model_validate(requirements)
    is_by_use = wanted.scheme == UpToEvm.name
    # What the buyer accepted is the most; what is wanted, what was used of it.
    offer = _offer(
        wanted.scheme,
        wanted.network,
        wanted.asset,
        presented.accepted.amount if is_by_use else wanted.amount,
        wanted.pay_to,
        wanted.max_timeout_seconds,
        wanted.extra or {},
    )
    url = presented.resource.url if presented.resource else ""
    amount = read_uint256(wanted.amount) if is_by_use else None
    extensions = presented.extensions or {}
    return Asked(offer, presented.payload, url, wanted.network, extensions, amount)


def _v1(payload: Any, requirements: Any) -> Asked:
    presented = PaymentPayloadV1.model_validate(payload)
    wanted = PaymentRequirementsV1.model_validate(requirements)
    network = v1_names.network(wanted.network)
    if network is None or presented.network != wanted.network:
        raise Malformed("the network is not known")
    offer = _offer(
        wanted.scheme,
        network,
        wanted.asset,
        wanted.max_amount_required,
        wanted.pay_to,
        wanted.max_timeout_seconds,
        wanted.extra or {},
    )
    return Asked(offer, presented.payload, wanted.resource, wanted.network)


def _offer(
    scheme: str,
    network: str,
    asset: str,
    amount: str,
    pay_to: str,
    timeout: int,
    extra: Mapping[str, Any],
) -> Offer:
    """Raises `ValueError`, `Malformed`."""
    if schemes.get(scheme) is None:
        raise Malformed("the scheme is not supported")
    is_by_use = scheme == UpToEvm.name
    if is_by_use and not isinstance(extra.get("facilitatorAddress"), str):
        raise Malformed("extra must have the facilitatorAddress that was signed for")
    if nodes.of(network) is None:
        raise Malformed("the network is not served here")
    if not {"name", "version"} <= set(extra):
        raise Malformed("extra must have the token's EIP-712 name and version")
    if max(len(str(extra[name])) for name in ("name", "version")) > LONGEST_NAME:
        raise Malformed("the token's EIP-712 name or version is too long")
    return Offer(
        rail=RAIL,
        scheme=scheme,
        network=network,
        amount=read_uint256(amount),
        timeout=timeout,
        terms={
            "asset": checksum(asset),
            "payTo": checksum(pay_to),
            "extra": {
                "name": str(extra["name"]),
                "version": str(extra["version"]),
                **(
                    {"facilitatorAddress": checksum(extra["facilitatorAddress"])}
                    if is_by_use
                    else {}
                ),
            },
        },
        account_id=0,
        price_id=0,
        price=Decimal(0),
        currency="",
        symbol="",
        decimals=0,
        at_most=is_by_use,
    )
