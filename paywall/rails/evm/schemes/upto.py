"""x402 `upto` on EVM chains: at most an amount, and what was used is settled.

(x402 specs, schemes/upto/scheme_upto_evm.md.) By Permit2 alone. Only the facilitator whom the buyer
signed for may settle, once.
"""

from __future__ import annotations

from typing import ClassVar

from paywall.rails.evm import permit2

from .permit2 import Permit2


class UpToEvm(Permit2):
    """The offer's amount is the most; where a charge is looked for, what it took."""

    name: ClassVar[str] = "upto"
    spender: ClassVar[str] = permit2.PROXY_UP_TO
