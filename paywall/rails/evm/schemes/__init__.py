"""What is signed: a scheme reads, checks and finds one kind of authorization.

The gate speaks to `Scheme` and names none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paywall.rails.evm.eip3009 import PLAIN_SIGNATURE_BYTES, read_signature

from . import eip3009
from .base import Scheme
from .exact import ExactEvm
from .upto import UpToEvm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.rails.evm.transfers import Transfer

_SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (ExactEvm(), UpToEvm())}


def get(name: str) -> Scheme | None:
    """The scheme of that x402 name, or None: for names that buyers sent."""
    return _SCHEMES.get(name)


def named(name: str) -> Scheme:
    """The scheme of that x402 name, or `LookupError`: for names that we wrote ourselves."""
    return _SCHEMES[name]


def of(payload: Mapping[str, Any]) -> Scheme:
    """The scheme of a canonical payload, which says it by what was signed."""
    witness = payload.get("permit2Authorization", {}).get("witness", {})
    return _SCHEMES["upto" if "facilitator" in witness else "exact"]


def is_plain(payload: Mapping[str, Any]) -> bool:
    """Whether a canonical payload carries a plain key's signature, as far as its form says."""
    try:
        signature = read_signature(payload.get("signature"))
    except ValueError:
        return False
    return len(signature) == PLAIN_SIGNATURE_BYTES


FOUND_IN_LOGS = "eip3009:"
"""What the identities begin with of payments that the chain's logs name."""


def identify(network: str, transfer: Transfer) -> str | None:
    """The identity of the payment that a transfer on the chain is; None if it is no payment."""
    if transfer.nonce is None:
        return None
    return eip3009.identity(network, transfer.token, transfer.payer, transfer.nonce)


__all__ = ["FOUND_IN_LOGS", "Scheme", "get", "identify", "is_plain", "named", "of"]
