"""The words that the rooms of the house hand to each other. Imports nothing of ours.

Amounts are atomic units (`int`) unless a name says `price` (`Decimal`, in the owner's currency). A
network is where on its rail money moves, in the rail's own spelling; a reference is by what its
rail knows a movement of money (a transaction's hash, say).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paywall.interface import Interface


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to pay one resource now: price x account."""

    rail: str
    scheme: str
    """What a buyer hands over, by its name on the rail."""
    network: str
    amount: int
    timeout: int
    """Seconds for which the buyer may take the offer."""
    terms: Mapping[str, Any]
    """What a buyer has to know besides to pay on that rail: in which money, and to whom."""

    account_id: int
    price_id: int
    price: Decimal
    currency: str
    symbol: str
    decimals: int
    for_coupon: bool = False
    """The price is one that a coupon makes."""
    upfront: bool = False
    """The money is taken before the work is done."""
    at_most: bool = False
    """The amount is the most; what the request used is taken."""

    def snapshot(self) -> dict[str, Any]:
        """The offer as JSON to keep; `from_snapshot` reads it back."""
        kept = {name: getattr(self, name) for name in _OFFER}
        kept["terms"] = dict(self.terms)
        return {**kept, "amount": str(self.amount), "price": str(self.price)}

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Offer:
        amount, price = int(snapshot["amount"]), Decimal(snapshot["price"])
        return cls(**{**snapshot, "amount": amount, "price": price})


_OFFER = tuple(one.name for one in fields(Offer))
"""`dataclasses.asdict` copies everything in depth, which takes a paid request a twentieth of a
millisecond."""


def _no_digest() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as far as a payment may be bound to it."""

    url: str
    kept_url: str = ""
    """As payments keep it, where that is another."""
    method: str = "GET"
    digest: Callable[[], str] = _no_digest
    """Of its body, as `Content-Digest` has it (RFC 9530): "sha-256=:...:"; "" where it has none."""
    preferences: str = ""
    """What its client says that it pays by (`Accept-Payment`)."""

    @property
    def urls(self) -> tuple[str, str]:
        """Its URL in both spellings."""
        return self.url, self.kept_url or self.url


@dataclass(frozen=True, slots=True)
class Credential:
    """What a buyer presented, read but not yet believed."""

    protocol: str
    scheme: str
    network: str
    payload: Mapping[str, Any]
    """What was signed, in the scheme's own shape."""
    takes: Callable[[Offer], bool] | None = None
    """Whether an offer is the one that the buyer says it takes, where the protocol carries it."""
    resource_url: str | None = None
    """The URL that the buyer says it pays for, where the protocol carries it."""
    idempotency_key: str = ""
    """By which the buyer knows the request that it pays for: the same key is the same payment."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """What else it carries, by the names that the challenge declared."""
    is_made_for: Callable[[Asked], bool] | None = None
    """Whether it was made for such a request, where the protocol binds it to one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a rail makes of a credential, or of an order's payment, in one spelling."""

    identity: str
    """Two claims that could move the same money once have the same identity."""
    amount: int
    """At most so much is taken."""
    payer: str | None = None
    expires_at: datetime | None = None
    """When it ceases to be good, if ever."""
    payload: Mapping[str, Any] | None = None
    """What settles it, canonical: what was checked is what the settling party gets."""
    network: str = ""
    proven: bool = True
    """Whether all was checked here that can be; if not, somebody who knows better must say so."""
    is_signed: bool = False
    """Where it is not proven: whether only that is left to ask which no signature says, as for what
    the payer once allowed. Once somebody said so, it is as good as a proven one."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One claim to be verified or settled, for one of our offers."""

    offer: Offer
    payload: Mapping[str, Any]
    payer: str
    url: str
    identity: str
    """By which the claim is known, whoever asks again."""
    interface: Interface | None = None
    """What the resource takes and gives, for who lists what it settles."""
    amount: int | None = None
    """So much is to be taken of what was offered at most; None: all of it."""

    @property
    def wanted(self) -> Offer:
        """The offer, at what is to be taken."""
        return self.offer if self.amount is None else replace(self.offer, amount=self.amount)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check before settling says. `valid` None: nobody could be asked, or the answer proves
    nothing."""

    valid: bool | None
    reason: str = ""


# What settling came to.


@dataclass(frozen=True, slots=True)
class Settled:
    """Who settles named a reference, or the rail itself shows one."""

    reference: str
    position: int | None = None
    """Where on the rail's own line it stands, if it was looked up there."""
    amount: int | None = None
    """How much was taken, if it is not all that was allowed."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Certain: nothing was sent, or what was sent reverted."""

    code: str
    detail: str = ""
    ours: bool = False
    """The fault is the site's or the settling party's, not the buyer's."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer proves nothing: the money may have moved."""

    reason: str
    reference: str = ""


Settlement = Settled | Rejected | Unknown


# What a rail's own evidence shows of a claim.


@dataclass(frozen=True, slots=True)
class Clue:
    """What is known when a rail is asked about a claim."""

    since: datetime
    """When we first saw it."""
    reference: str = ""
    """Where the settling party says that it happened, if it said so."""
    terms: Mapping[str, Any] = field(default_factory=dict)
    """The account's."""


@dataclass(frozen=True, slots=True)
class Paid:
    """The money moved, under this reference."""

    reference: str
    final: bool
    """It will stand."""
    position: int | None = None
    """Where on the rail's own line of time it stands, where the rail has one."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """What else proves it, to be kept."""
    fee: Decimal | None = None
    """What who took the money kept of it, in its currency, where that is known."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The claim is used up and did not pay us: cancelled, or promised twice."""

    reason: str
    reference: str
    final: bool
    """It will stand."""


@dataclass(frozen=True, slots=True)
class Unspent:
    """Nothing moved so far. `never`: nor can it any more, and that will stand."""

    never: bool
    reverted: bool = False
    """What was asked about is there, and failed."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Who knows did not answer, lags or contradicts itself: look again later."""

    reason: str


Finding = Paid | Spent | Unspent | Undecided


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a response tells the buyer about its payment."""

    success: bool
    network: str
    reference: str = ""
    payer: str = ""
    error_code: str = ""
    error_message: str = ""
    protocol: str = ""
    """In which the payment came, where there is one."""
    status: int = 0
    """Of the response that tells it."""
    amount: str = ""
    url: str = ""
    """What was paid for."""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """Something that the owner should know."""

    key: str
    """What it is about: the same key is told once."""
    kind: str
    title: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payment_id: int | None = None
