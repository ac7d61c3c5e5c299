"""Who settles what is charged by use, as the facilitators themselves say it (`GET /supported`).

A buyer signs for one facilitator, by its address (x402 specs, schemes/upto). What was said is kept
in the database: it is asked for once an hour by the engine, and by a request only where nothing is
known yet.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from django.db.models import Q
from django.utils import timezone

from paywall import conf, durable
from paywall.effects import Send, run, send
from paywall.models import FacilitatorHealth

from . import sponsoring, transactions
from .addresses import checksum
from .schemes.upto import UpToEvm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from paywall.models import Account
    from paywall.vocabulary import Offer

log = logging.getLogger(__name__)

T = TypeVar("T")

KNOWN_FOR = timedelta(hours=1)
"""After which a facilitator is asked anew what it can do."""

PAUSE = timedelta(seconds=10)
"""After which one is asked again that did not answer, or does not settle by use."""

REMEMBERED = 20
"""Addresses by which a facilitator was known: what was signed for an older one is still its own."""


def address(account: Account, *, ask: bool) -> str | None:
    """For whom buyers of an account shall sign what is charged by use; None if nobody settles it.

    `ask` the facilitators, where nothing is known of any.
    """
    names = list(conf.get().remotes_for(account.facilitator_names()))
    found = _first(names, account.network)
    if found is None and ask and ask_all(names, PAUSE):
        found = _first(names, account.network)
    return found


def nobody_settles_by_use(account: Account) -> bool:
    """Whether all were asked, and none of them does. Asks nobody."""
    if address(account, ask=False) is not None:
        return False
    at_urls = {name for name, remote in conf.get().remotes().items() if remote is not None}
    return at_urls <= {name for name, asked_at in _asked_at().items() if asked_at is not None}


def is_own(name: str, address_: str) -> bool:
    """Whether a facilitator settles what was signed for that address."""
    if conf.get().remotes().get(name) is None:
        return address_ == _own_address()
    return address_ in _said().get(name, {}).get("signers", ())


def refresh() -> None:
    """Ask those again that were asked an hour ago: something is charged by use."""
    rows = FacilitatorHealth.objects.using(durable.alias())
    old = rows.filter(asked_at__lte=timezone.now() - KNOWN_FOR).values_list("name", flat=True)
    ask_all(list(old), KNOWN_FOR)


def ask_all(names: list[str], pause: timedelta) -> bool:
    """Ask the facilitators at URLs that were not asked for so long. Whether any was."""
    remotes = conf.get().remotes()
    at_urls = [name for name in names if remotes.get(name) is not None]
    return bool([name for name in at_urls if _takes_turn(name, pause) and _ask(name)])


def _first(names: list[str], network: str) -> str | None:
    said = _said()
    for name in names:
        if conf.get().remotes()[name] is None:
            found = _own_address() if network in conf.get().rpc_urls else None
        else:
            found = said.get(name, {}).get("upto", {}).get(network)
        if found:
            return str(found)
    return None


def _own_address() -> str | None:
    key = conf.get().gas_key
    return transactions.wallet(key).address if key else None


def sponsors(offer: Offer) -> bool:
    """Whether who settles an offer that is charged by use also pays for the buyer's approval."""
    if not offer.at_most:
        return False
    address_ = offer.terms["extra"]["facilitatorAddress"]
    if address_ == _own_address():
        return True
    return any(
        sponsoring.NAME in said.get("extensions", ()) and address_ in said.get("signers", ())
        for said in _said().values()
    )


@durable.read
def _said() -> Mapping[str, Mapping[str, Any]]:
    rows = FacilitatorHealth.objects.using(durable.alias())
    return dict(rows.values_list("name", "supported"))


@durable.read
def _asked_at() -> Mapping[str, datetime | None]:
    rows = FacilitatorHealth.objects.using(durable.alias())
    return dict(rows.values_list("name", "asked_at"))


@durable.write
def _takes_turn(name: str, pause: timedelta) -> bool:
    """Whether it is to be asked, by this process and no other."""
    now = timezone.now()
    rows = FacilitatorHealth.objects.using(durable.alias())
    rows.bulk_create([FacilitatorHealth(name=name)], ignore_conflicts=True)
    turn = Q(asked_at=None) | Q(asked_at__lte=now - pause)
    return bool(rows.filter(turn, name=name).update(asked_at=now))


class Unsaid(Exception):
    """A facilitator does not say what it can do. The text has no URL: keys stand in some."""


def ask(remote: conf.Remote, seconds: float, read: Callable[[Any], T]) -> T:
    """What `read` makes of a facilitator's answer to `GET /supported`. Raises `Unsaid`."""
    url = f"{remote.url.rstrip('/')}/supported"
    try:
        headers = remote.headers("supported")
        answer = run(send(Send("GET", url, httpx.Timeout(seconds), headers=headers)))
        return read(answer.raise_for_status().json())
    except Exception as error:
        # Also the site's own hook for the headers, which can fail in any way.
        response: Any = getattr(error, "response", None)
        status = f" {response.status_code}" if response is not None else ""
        raise Unsaid(f"{type(error).__name__}{status}") from None


def _ask(name: str) -> bool:
    remote = conf.get().remotes()[name]
    assert remote is not None
    try:
        said, extensions = ask(remote, conf.get().facilitator_connect_timeout, _read)
    except Unsaid as trouble:
        log.warning("The facilitator %s does not say what it can do: %s", name, trouble)
        return False
    _remember(name, said, extensions)
    return True


def _read(told: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The addresses to sign for by network, and the extensions' names."""
    extensions = [str(name)[:100] for name in told.get("extensions", [])][:REMEMBERED]
    return _by_network(told["kinds"]), extensions


def _by_network(kinds: list[Mapping[str, Any]]) -> dict[str, str]:
    """The address to sign for on each network. Raises `ValueError` and the like for nonsense."""
    return {
        str(kind["network"]): checksum(kind["extra"]["facilitatorAddress"])
        for kind in kinds
        if kind["x402Version"] == 2 and kind["scheme"] == UpToEvm.name
    }


@durable.write
def _remember(name: str, said: dict[str, str], extensions: list[str]) -> None:
    rows = FacilitatorHealth.objects.using(durable.alias()).filter(name=name)
    known = rows.select_for_update().get().supported.get("signers", [])
    signers = list(dict.fromkeys([*said.values(), *known]))[:REMEMBERED]
    rows.update(supported={"upto": said, "signers": signers, "extensions": extensions})
