"""Which rails there are: ours, and those that the settings name.

    PAYWALL = {"RAILS": ["site.rails.LoyaltyPoints"]}

They are imported when they are first asked for: a rail may know the ledger, and all that the ledger
knows of it is its name.
"""

from __future__ import annotations

from typing import Any, TypeVar

from paywall import conf, extensions, pseudonyms

from .base import Coin, Explores, HasCoins, Network, Plays, Rail, Searches, Watches

OURS = (
    "paywall.rails.evm.sandbox.rail.SandboxRail",
    "paywall.rails.evm.rail.EvmRail",
    "paywall.rails.card.rail.CardRail",
)

T = TypeVar("T")


@conf.kept
def all_() -> dict[str, Rail]:
    """Every rail by its name. Raises `ImproperlyConfigured`, naming the setting."""
    return extensions.by_name("RAILS", (*OURS, *conf.get().rails), Rail)


def named(name: str) -> Rail:
    """The rail of that name. Raises `LookupError`."""
    return all_()[name]


@conf.kept
def _able(name: str, ability: Any) -> Any:
    rail = all_().get(name)
    return rail if isinstance(rail, ability) else None


def able(name: str, ability: type[T]) -> T | None:
    """The rail of that name if it can do that, else None: `able(payment.rail, Refunds)`."""
    found: T | None = _able(name, ability)  # type: ignore[arg-type]
    return found


def who_can(ability: type[T]) -> list[T]:
    """All rails that can do that."""
    return [rail for name in all_() if (rail := able(name, ability)) is not None]


def coins() -> list[Coin]:
    """What a new owner can choose to be paid in."""
    return [coin for rail in who_can(HasCoins) for coin in rail.coins()]


def with_scheme(name: str) -> list[Rail]:
    """The rails on which buyers may hand that over now."""
    return [rail for rail in all_().values() if name in rail.schemes and is_open(rail.name)]


def watches(account: Any) -> bool:
    """Whether its rail reads a chain to see its money."""
    return able(account.rail, Watches) is not None


def is_open(name: str) -> bool:
    """Whether its accounts are to be paid to: in the sandbox those of play money and no others;
    elsewhere all but those."""
    return (able(name, Plays) is not None) is conf.get().sandbox


def by_hand() -> list[Rail]:
    """The rails whose accounts an owner adds."""
    return [rail for rail in all_().values() if not isinstance(rail, Plays)]


# --------------------------------------------------------------------------- For people


def network(id_: str) -> Network:
    """A network by its id; one that no rail knows is called by that."""
    for rail in all_().values():
        found = rail.network(id_)
        if found is not None:
            return found
    return Network(id_, id_)


def reference_url(rail: str, network: str, reference: str) -> str | None:
    """Where a person can look at what moved money, or None."""
    explorer = able(rail, Explores)
    return explorer.reference_url(network, reference) if explorer and reference else None


def public_url(rail: str, network: str, reference: str) -> str | None:
    """The same for everyone, a buyer say."""
    known = all_().get(rail)
    is_public = known is not None and known.is_public
    return reference_url(rail, network, reference) if is_public else None


def party_url(rail: str, network: str, party: str | None) -> str | None:
    """Where a person can look at a payer or recipient, or None."""
    explorer = able(rail, Explores)
    if explorer is None or not party or pseudonyms.is_one(party):
        return None
    return explorer.party_url(network, party)


def position_url(rail: str, network: str, position: int | None) -> str | None:
    """Where a person can look at a place on the rail's line of time, or None."""
    explorer = able(rail, Explores)
    return explorer.position_url(network, position) if explorer and position is not None else None


def spelled(text: str) -> tuple[str, str] | None:
    """What somebody typed, if a rail knows it as a "reference", a "payer" or part of one
    ("payers"), in our spelling."""
    for rail in who_can(Searches):
        if (found := rail.spelled(text)) is not None:
            return found
    return None
