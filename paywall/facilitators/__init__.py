"""Who verifies and settles."""

from __future__ import annotations

import logging

from paywall import conf
from paywall.exceptions import Code, Unavailable

from .base import Facilitator, Order, Verdict
from .http import HttpFacilitator


def get() -> Facilitator:
    """The site's facilitator. Raises `Unavailable` where none is configured, or none to trust."""
    settings = conf.get()
    if not settings.facilitator_url:
        log.error("PAYWALL['FACILITATOR_URL'] is not set: payments cannot be taken")
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
    if conf.is_exposed(settings.facilitator_url):
        log.error("PAYWALL['FACILITATOR_URL'] is not https: payments are not taken over it")
        raise Unavailable(Code.FACILITATOR_UNAVAILABLE)
    return HttpFacilitator(settings)


log = logging.getLogger(__name__)

__all__ = ["Facilitator", "Order", "Verdict", "get"]
