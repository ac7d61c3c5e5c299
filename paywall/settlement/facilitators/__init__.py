"""Who settles: the rail of an offer says who they are, and health which of them are well."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from paywall.exceptions import Code, Unavailable
from paywall.rails import registry
from paywall.rails.base import Facilitator, Settles

from . import health
from .http import HttpFacilitator

if TYPE_CHECKING:
    from paywall.effects import Steps
    from paywall.vocabulary import Offer

log = logging.getLogger(__name__)


def for_offer(offer: Offer) -> Steps[list[Facilitator]]:
    """Those that settle an offer, in the order in which they shall be tried; at least one.

    Raises `Unavailable`.
    """
    return (yield from _rail(offer.rail).facilitators(offer))


def get(rail: str, name: str) -> Facilitator:
    """A facilitator by name. Raises `Unavailable` if the settings do not know it any more."""
    return _rail(rail).facilitator(name)


def _rail(name: str) -> Settles:
    rail = registry.able(name, Settles)
    if rail is None:
        log.error("Nothing settles on the rail %r: see `manage.py check`", name)
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
    return rail


__all__ = ["Facilitator", "HttpFacilitator", "for_offer", "get", "health"]
