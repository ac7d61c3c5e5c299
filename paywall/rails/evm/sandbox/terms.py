"""What the sandbox's accounts are: on the wire, test USDC on Base Sepolia.

So every client pays that pays anywhere: the official ones pay in well-known coins alone.
"""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any

from paywall.rails.evm.tokens import TOKENS

RAIL = "sandbox"
"""As it stands on rows."""

_COIN = TOKENS["usdc-base-sepolia"]

NETWORK, SYMBOL, DECIMALS = _COIN.network, "PLAY", _COIN.decimals

PAY_TO = "0x4020000000000000000000000000000000000402"
"""Nobody has its key: not even test money arrives anywhere."""

TERMS: dict[str, Any] = {
    "asset": _COIN.asset,
    "payTo": PAY_TO,
    "extra": {"name": _COIN.eip712_name, "version": _COIN.eip712_version},
}
"""As an offer has them: what a buyer signs."""

PLENTY = Decimal(1_000_000)
"""What everybody has."""


def made_up() -> str:
    """A reference, in the form of a transaction's hash."""
    return "0x" + secrets.token_hex(32)
