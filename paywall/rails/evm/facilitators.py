"""Who settles on EVM chains: x402 facilitators at URLs, or the site itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from paywall import conf, durable
from paywall.effects import query
from paywall.exceptions import Code, Unavailable
from paywall.models import Account
from paywall.settlement.facilitators import HttpFacilitator, health

from . import supported
from .addresses import is_transaction_hash
from .onchain import OnchainFacilitator

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.rails.base import Facilitator
    from paywall.vocabulary import Offer

log = logging.getLogger(__name__)


def for_offer(offer: Offer) -> Steps[list[Facilitator]]:
    """Those that settle an offer, in the order in which they shall be tried: what is charged by use
    the one alone that the buyer signed for. Raises `Unavailable` where there is none."""
    signed_for = offer.terms["extra"]["facilitatorAddress"] if offer.at_most else ""
    return (yield from for_account(offer.account_id, signed_for))


def for_account(account_id: int, signed_for: str = "") -> Steps[list[Facilitator]]:
    """Those that settle for an account, in the order in which they shall be tried: all of them, or
    those with that address.

    Raises `Unavailable` where there is none, or none to trust.
    """
    names = list(conf.get().remotes())
    if len(names) > 1:
        chosen = yield from query(_chosen_for, account_id)
        names = yield from health.in_order(list(conf.get().remotes_for(chosen)))
    if signed_for:
        names = yield from query(_those_of, names, signed_for)
    found = [get(name) for name in names if _can_be_trusted(name)]
    if not found:
        log.error("There is no facilitator to settle with: see `manage.py check`")
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
    return found


def get(name: str) -> Facilitator:
    """A facilitator by name. Raises `Unavailable` if the settings do not know it any more."""
    settings = conf.get()
    remotes = settings.remotes()
    if name not in remotes:
        log.error("The facilitator %r is gone from the settings", name)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
    remote = remotes[name]
    if remote is None:
        return OnchainFacilitator(name, settings)
    return HttpFacilitator(name, remote, settings, is_transaction_hash)


def _can_be_trusted(name: str) -> bool:
    remote = conf.get().remotes()[name]
    if remote is not None and conf.is_exposed(remote.url):
        log.error("The facilitator %s is not at https: payments are not taken over it", name)
        return False
    return True


def _those_of(names: list[str], address: str) -> list[str]:
    return [name for name in names if supported.is_own(name, address)]


def _chosen_for(account_id: int) -> list[str]:
    return Account.objects.using(durable.alias()).get(pk=account_id).facilitator_names()
