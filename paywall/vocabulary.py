"""The words that the rooms of the house hand to each other. Imports nothing of ours.

Amounts are atomic units (`int`) unless a name says `price` (`Decimal`, in the owner's currency).
Networks are CAIP-2 ("eip155:84532"); addresses and hashes are 0x-prefixed hex.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to pay one resource now: price x account, as x402 `PaymentRequirements`."""

    scheme: str
    network: str
    asset: str
    amount: int
    pay_to: str
    timeout: int
    """Seconds for which the buyer may take the offer (`maxTimeoutSeconds`)."""
    extra: Mapping[str, str]
    """What the scheme needs besides, for `exact` on EVM the EIP-712 `name` and `version`."""

    account_id: int
    price_id: int
    price: Decimal
    currency: str
    symbol: str
    decimals: int
    for_coupon: bool = False
    """The price is one that a coupon makes."""

    def requirements(self) -> dict[str, Any]:
        """The offer as the JSON of x402 v2 `PaymentRequirements`."""
        return {
            "scheme": self.scheme,
            "network": self.network,
            "asset": self.asset,
            "amount": str(self.amount),
            "payTo": self.pay_to,
            "maxTimeoutSeconds": self.timeout,
            "extra": dict(self.extra),
        }

    def snapshot(self) -> dict[str, Any]:
        """The offer as JSON to keep; `from_snapshot` reads it back."""
        return {**asdict(self), "amount": str(self.amount), "price": str(self.price)}

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Offer:
        from decimal import Decimal

        return cls(
            **{
                **snapshot,
                "amount": int(snapshot["amount"]),
                "price": Decimal(snapshot["price"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Credential:
    """What a buyer presented, read but not yet believed."""

    protocol: str
    scheme: str
    network: str
    payload: Mapping[str, Any]
    """What was signed, in the scheme's own shape."""
    accepted: Mapping[str, Any] | None = None
    """The offer that the buyer says it takes, where the protocol carries it (x402 v2)."""
    resource_url: str | None = None
    """The URL that the buyer says it pays for, where the protocol carries it."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """A credential's signed promise to pay, in one spelling."""

    identity: str
    """Two authorizations that could move the same money once have the same identity."""
    payer: str
    expires_at: datetime
    payload: Mapping[str, Any]
    """The scheme's payload, canonical: what we checked is what the facilitator gets."""
    network: str
    proven: bool = True
    """Whether all was checked here that can be; if not, the facilitator's /verify must."""


# What settling came to.


@dataclass(frozen=True, slots=True)
class Settled:
    """The facilitator named a transaction, or the chain shows one."""

    transaction: str
    block_number: int | None = None
    """Where the chain shows it, if it was looked up there."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Certain: nothing was sent, or what was sent reverted."""

    code: str
    detail: str = ""
    ours: bool = False
    """The fault is the site's or the facilitator's, not the buyer's."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer proves nothing: the money may have moved."""

    reason: str
    transaction: str = ""


Settlement = Settled | Rejected | Unknown


# What the chain shows of an authorization.


@dataclass(frozen=True, slots=True)
class Clue:
    """What is known when the chain is asked about an authorization."""

    since: datetime
    """When we first saw it."""
    confirmations: int
    """Blocks after which the answer stands."""
    transaction: str = ""
    """Where the facilitator says that it happened, if it said so."""
    log_range: int = 2_000
    """Blocks for which a node may be asked for logs at once."""


@dataclass(frozen=True, slots=True)
class Paid:
    """The token moved the money, in this transaction."""

    transaction: str
    block_number: int
    block_hash: str
    final: bool
    """Deep enough to stand."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The authorization is used up and did not pay us: cancelled, or signed twice."""

    reason: str
    transaction: str
    final: bool
    """Deep enough to stand."""


@dataclass(frozen=True, slots=True)
class Unspent:
    """Nothing moved so far. `never`: nor can it, a deep block is past its expiry."""

    never: bool
    reverted: bool = False
    """The transaction that was asked about is on the chain and failed."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """The node did not answer, lags or contradicts itself: look again later."""

    reason: str


Finding = Paid | Spent | Unspent | Undecided


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a response tells the buyer about its payment (x402 `SettleResponse`)."""

    success: bool
    network: str
    transaction: str = ""
    payer: str = ""
    error_code: str = ""
    error_message: str = ""
    amount: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
