"""What a rail is, and what it may be able to do besides.

A rail is a way in which money moves and is proven to have moved. Every one of them is a `Rail`;
each protocol below it is one thing that some rails can do. What a rail cannot do, it does not
implement, and the desk does not offer.

Methods that ask anybody are steps (`paywall.effects`). They raise `Unreachable` where who knows
does not answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    import httpx
    from django.core.checks import CheckMessage
    from django.db.models import Q
    from django.http import HttpRequest, HttpResponse

    from paywall.effects import Steps
    from paywall.exceptions import PaywallError
    from paywall.findings import Finding as Examined
    from paywall.models import Account, Payment, Refund
    from paywall.secret import Secret
    from paywall.vocabulary import (
        Charge,
        Claim,
        Clue,
        Credential,
        Finding,
        News,
        Offer,
        Settlement,
        Verdict,
    )


class Unreachable(Exception):
    """Who knows does not answer, or answers nonsense: look again later."""


class Unacceptable(ValueError):
    """What was typed cannot be so; the message is for whoever typed it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Network:
    """A place on a rail, for people."""

    id: str
    title: str
    testnet: bool = False
    """Its money is play money."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rail shows of a refund. `found` None: nothing to be seen yet."""

    found: bool | None
    reference: str = ""
    why: str = ""
    """Why it cannot be the refund, or why nobody will ever know."""
    hopeless: bool = False
    """Nothing will be seen by waiting: a person has to look."""


class Rail(ABC):
    """What every rail knows: its accounts' terms, its networks, and what an account offers."""

    name: ClassVar[str]
    """As it stands on rows: short, lower case, for good."""
    title: ClassVar[Any]
    """For people."""
    is_public: ClassVar[bool] = True
    """Whether everyone can look up its references, and not the owner alone."""
    test_told: ClassVar[Any] = _("test network")
    """What is said beside play money of it."""
    schemes: ClassVar[frozenset[str]] = frozenset()
    """What buyers may hand over, by name."""
    fixed_terms: ClassVar[frozenset[str]] = frozenset()
    """Which of an account's terms cannot change once it is saved: buyers rely on them."""

    @abstractmethod
    def read_terms(self, network: str, terms: Mapping[str, Any]) -> dict[str, Any]:
        """An account's terms, complete and in one spelling. Raises `Unacceptable`."""

    @abstractmethod
    def account_identity(self, network: str, terms: Mapping[str, Any]) -> str:
        """The same for two accounts that are the same; 255 characters at most."""

    @abstractmethod
    def recipient(self, terms: Mapping[str, Any]) -> str:
        """To whom money goes, as the owner knows it."""

    def is_laxer(self, after: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Whether payments would count as final sooner under other terms."""
        return False

    @abstractmethod
    def account_form(self) -> Any:
        """The form of a new account: a subclass of `paywall.admin.accounts.AccountForm`."""

    @abstractmethod
    def offered(self, account: Account) -> tuple[str, dict[str, Any]]:
        """The scheme of an account's offers, and their terms."""

    def network(self, id_: str) -> Network | None:
        """One of the rail's networks; None if it is not."""
        return None

    def told(self, offer: Offer) -> str:
        """How an offer is paid, for people: "in USDC on Base"."""
        network = self.network(offer.network)
        where = network.title if network is not None else offer.network
        return gettext("in %(symbol)s on %(network)s") % {"symbol": offer.symbol, "network": where}


# --------------------------------------------------------------------- Taking payments


@runtime_checkable
class HasMinimum(Protocol):
    """Not every price can be paid there."""

    def takes(self, account: Account, price: Decimal) -> bool:
        """Whether a price (in the account's currency) is offered there."""
        ...


@runtime_checkable
class Plays(Protocol):
    """Its money is nobody's: taken in the sandbox (`SANDBOX`), and nowhere else."""

    def play_account(self, currency: str) -> Account:
        """An account for it, not saved yet."""
        ...


@runtime_checkable
class Meters(Protocol):
    """A buyer can allow an amount there, of which what was used is taken."""

    def offered_by_use(self, account: Account, *, ask: bool) -> tuple[str, dict[str, Any]] | None:
        """The scheme of an account's offers that are charged by use, and their terms; None where
        nobody settles them. `ask` whoever may know, where nothing is known yet."""
        ...


@runtime_checkable
class Extends(Protocol):
    """Its buyers may sign more than the payment, where a protocol carries that (x402 v2)."""

    def extensions(self, offers: Sequence[Offer]) -> Mapping[str, Any]:
        """What a challenge with these offers declares, by name; a credential's `extensions` bring
        it."""
        ...


@runtime_checkable
class EndsOrders(Protocol):
    """It can be asked, at the end of an order's time, whether it was paid after all."""

    def end_orders(self) -> None:
        """Expire its orders whose time has passed, each once that was asked. Raises
        `Unreachable`: then they stay open, and are looked at again."""
        ...


@runtime_checkable
class ReadsErrors(Protocol):
    """It knows the exceptions that its party's own package raises in a site's code."""

    def failure(self, error: BaseException) -> PaywallError | None:
        """What it means to the buyer: `PaymentFailed`, `Refused` or `Unavailable`; None where it is
        none of its own, or the site's mistake."""
        ...


@runtime_checkable
class Hears(Protocol):
    """Its own party tells it things, by webhooks."""

    def hear(self, request: HttpRequest) -> HttpResponse:
        """One delivery. What is not that party's is refused (400); what could not be done yet is
        answered by 503, so that it comes again."""
        ...

    def catch_up(self, since: datetime) -> Mapping[str, int]:
        """Hear what was told since then and not heard. Returns how much came to what. Raises
        `Unreachable`."""
        ...


@runtime_checkable
class Reads(Protocol):
    """Buyers' programs hand it credentials."""

    def pick(self, credential: Credential, offers: Sequence[Offer]) -> Offer | None:
        """The offer that a credential takes where its protocol does not say. Raises `Refused`."""
        ...

    def identities(self, credential: Credential, terms: Sequence[Mapping[str, Any]]) -> list[str]:
        """The identities that a credential can have under the terms of some account of its network.

        Raises `Refused`.
        """
        ...

    def read(self, credential: Credential, offer: Offer, now: float, tolerance: float) -> Claim:
        """The claim, checked against the offer: signature, window, amount, recipient.

        `now` is Unix seconds, `tolerance` how far clocks may differ. Raises `Refused`.
        """
        ...

    def is_worth_asking(self, claim: Claim) -> Steps[bool]:
        """Whether the settling party can know better of a claim that is not proven here.

        If not, one that says yes to everything could let a forger in. Raises `Unreachable`.
        """
        ...


@runtime_checkable
class KnowsMeans(Protocol):
    """It can be looked up what a payer has."""

    def can_ask(self, network: str) -> bool:
        """Whether there is somebody to ask."""
        ...

    def balance(self, offer: Offer, payer: str) -> Steps[Decimal]:
        """What a payer has, in units of the offer's currency, that will still be there when it is
        settled: zero where that cannot be known. Raises `Unreachable`."""
        ...

    def can_afford(self, claim: Claim, offer: Offer) -> Steps[bool]:
        """Whether the payer has the money now. Raises `Unreachable`."""
        ...


class Facilitator(Protocol):
    """Who settles: brings the money of a claim to its recipient."""

    @property
    def name(self) -> str:
        """What the settings call it."""
        ...

    def settle(self, charge: Charge) -> Steps[Settlement]:
        """Settle. What the answer does not prove is `Unknown`, never an exception."""
        ...

    def verify(self, charge: Charge) -> Steps[Verdict]:
        """Check a claim without using it. Never raises."""
        ...


@runtime_checkable
class Settles(Protocol):
    """It brings money to us, by one or several parties."""

    def facilitators(self, offer: Offer) -> Steps[list[Facilitator]]:
        """Those that settle an offer, in the order in which they shall be tried.

        Raises `Unavailable` where there is none, or none to trust.
        """
        ...

    def facilitator(self, name: str) -> Facilitator:
        """One by name. Raises `Unavailable` if the settings do not know it any more."""
        ...


@runtime_checkable
class SettlesTogether(Protocol):
    """Many payments go at once, and what was sent has to be looked after."""

    def settle_together(self, payments: Sequence[Payment]) -> Iterator[Payment]:
        """Settle those that can go together; yields the others, to be settled one by one."""
        ...

    def tend(self, patience: float) -> Counter[str]:
        """Look after what was sent, for up to so many seconds. Returns how many were "settled"."""
        ...


# ------------------------------------------------------------------------------- Proof


@runtime_checkable
class Finds(Protocol):
    """It can be asked what became of a claim."""

    def can_find(self, network: str) -> bool:
        """Whether there is somebody to ask."""
        ...

    def find(self, charge: Charge, clue: Clue) -> Steps[Finding]:
        """What the rail's own evidence shows of a claim. Never raises."""
        ...


@runtime_checkable
class Watches(Protocol):
    """It confirms many payments by reading on, instead of asking for each."""

    def watch(self) -> Counter[str]:
        """Read on. Returns how many payments came to which state."""
        ...

    def overlooked(self) -> Q:
        """Settled payments that reading on does not find, or should have found by now."""
        ...

    def is_watched(self) -> Q:
        """Payments where it reads at all."""
        ...

    def unread_since(self) -> datetime | None:
        """Since when nothing was read where something waits; None if nothing does."""
        ...


@runtime_checkable
class Explains(Protocol):
    """Without evidence of its own it can still ask why a settling call failed."""

    def explain(
        self, charge: Charge, facilitator: Facilitator, answer: Settlement
    ) -> Steps[Settlement]:
        """An answer that proves nothing, or what can be made of it by asking once more."""
        ...


@runtime_checkable
class Reconciles(Protocol):
    """The books can be compared with what the rail itself says, both ways."""

    def reconcile(
        self, since: datetime | None, progress: Callable[[int, int], None]
    ) -> Sequence[Comparison]:
        """Each account, from a time on or from the beginning. Raises `Unreachable`."""
        ...


class Comparison(Protocol):
    """What an account's rail and the ledger say."""

    @property
    def name(self) -> str:
        """Who was asked, for people: "The chain"."""
        ...

    @property
    def agrees(self) -> bool: ...
    @property
    def strictly_agrees(self) -> bool:
        """And no other money came in."""
        ...

    def json(self) -> dict[str, Any]:
        """For programs: what `paywall_reconcile --json` prints of it."""
        ...

    def lines(self, most: int) -> Iterator[str]:
        """For people; of each kind of difference so many at most."""
        ...


# ----------------------------------------------------------------------------- Refunds


@runtime_checkable
class Refunds(Protocol):
    """Money can go back."""

    def sends_refunds(self) -> bool:
        """Whether the site itself can send them, as it is set up."""
        ...

    def check_refund(self, payment: Payment, sent_in: str, sender: str) -> tuple[str, str]:
        """The reference and sender in one spelling, of what the owner sent already (or ""). Raises
        `Unacceptable`, also where a refund cannot be sent or looked up."""
        ...

    def send_refund(self, refund: Refund, mark: Callable[[str], None]) -> Steps[None]:
        """Send it, once. `mark` writes down that it is sent, and under which reference: in the
        transaction that makes it certain, before anything leaves. Raises `Unreachable`."""
        ...

    def look_for_refund(self, refund: Refund) -> Steps[Seen]:
        """What there is to be seen of one that was sent. Raises `Unreachable`."""
        ...


# ------------------------------------------------------------------------ For the desk


@runtime_checkable
class Explores(Protocol):
    """People can look things up somewhere: at a URL, or None where there is none for it."""

    def reference_url(self, network: str, reference: str) -> str | None:
        """Of what moved money, a transaction say."""
        ...

    def party_url(self, network: str, party: str) -> str | None:
        """Of a payer or a recipient."""
        ...

    def position_url(self, network: str, position: int) -> str | None:
        """Of a place in the rail's own order, a block say."""
        ...


@runtime_checkable
class Searches(Protocol):
    """It knows its references and payers when it sees them."""

    def spelled(self, text: str) -> tuple[str, str] | None:
        """("reference" or "payer", in our spelling), or ("payers", "beginning…end") of what only
        says how one begins and perhaps ends; None where it is nothing of its own."""
        ...


@runtime_checkable
class ShowsAccounts(Protocol):
    """An account can be tried."""

    def balance_text(self, account: Account) -> str:
        """What is there now, for people."""
        ...

    def trial(self, request: HttpRequest, account: Account) -> dict[str, Any]:
        """The context of the page of a small payment by hand."""
        ...


@runtime_checkable
class Checks(Protocol):
    """What is known to be wrong before anybody pays."""

    def check_settings(self) -> Iterator[CheckMessage]:
        """Of the site's settings; for Django's system checks."""
        ...

    def check_account(self, account: Account) -> Iterator[CheckMessage]:
        """Of an account that is enabled."""
        ...


@runtime_checkable
class Examines(Protocol):
    """It can ask everybody who takes part whether money can move."""

    def examine(self, accounts: Sequence[Account]) -> Iterator[Examined]:
        """All that stops money on its accounts that are enabled. Asks over the network, each
        party once; never raises."""
        ...


@runtime_checkable
class Troubles(Protocol):
    """It has news for the owner, and duties of its own."""

    def news(self) -> Iterator[News]:
        """What the owner should be told now; what was told already is told once."""
        ...

    def chores(self) -> None:
        """What has to be done now and then. Raises `Unreachable`."""
        ...


@runtime_checkable
class Forgets(Protocol):
    """It has rows of its own that say who paid."""

    def forget(self, identities: Sequence[str], what: Collection[str]) -> None:
        """Nobody needs them any more for these payments, by their identities before: neither
        "payloads" nor "wallets", as `what` has them. In the transaction of the ledger."""
        ...


# -------------------------------------------------------------------- Beyond the shop


@runtime_checkable
class SignsIn(Protocol):
    """Who controls one of its payers can prove it in a request."""

    def can_sign_in(self) -> bool:
        """Whether proofs can be checked here."""
        ...

    def signed_in(self, request: HttpRequest) -> str | None:
        """The payer, in our spelling; None where nothing, or nothing right, is proven."""
        ...

    def holdings(self, terms: Mapping[str, Any], network: str, payer: str) -> Steps[int | None]:
        """What a payer has of an account's money, in atomic units; None where nobody can be asked.

        Raises `Unreachable`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Coin:
    """A well-known one: an account for it takes no more than a wallet's address."""

    rail: str
    key: str
    label: str
    network: str
    currency: str
    node: str = ""
    """One that anybody may read payments from; where to begin, not where to stay."""


@runtime_checkable
class HasCoins(Protocol):
    """New owners can choose what they are paid in."""

    def coins(self) -> list[Coin]:
        """Those that `account_form` has as presets, the usual ones first."""
        ...


@dataclass(frozen=True, slots=True)
class Bid:
    """An offer of somebody's 402, which can be paid."""

    protocol: str
    amount: Decimal
    """In whole coins; at most so much, where it is charged by use."""
    text: str
    """Amount, coin and network for people."""
    pay: Callable[[], dict[str, str]] = field(repr=False)
    """Sign: the request headers that pay it."""


@runtime_checkable
class Buys(Protocol):
    """It can pay other sites."""

    def bids(self, response: httpx.Response, key: Secret) -> list[Bid]:
        """What a 402 asks for that the wallet of the key can pay, in the site's order.

        Raises `ImportError` without the extra, and `ValueError` for a key that is none.
        """
        ...


@runtime_checkable
class Facilitates(Protocol):
    """The site can settle for others."""

    def answer_verify(self, request: HttpRequest, client: str) -> HttpResponse:
        """Whether a payment of `client` (a name from `FACILITATOR_CLIENTS`) would settle."""
        ...

    def answer_settle(self, request: HttpRequest, client: str) -> HttpResponse:
        """Settle it, once, however often it is asked for."""
        ...

    def answer_supported(self, request: HttpRequest, client: str) -> HttpResponse:
        """What can be settled here."""
        ...
