"""Headers that scripts of other origins have to see. Needs no Django: settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paywall.protocols.base import Protocol

FREE_REMAINING = "Paywall-Free-Remaining"


def exposed(spoken: Iterable[Protocol]) -> str:
    """The response headers that scripts of other origins have to see, of these protocols."""
    names = dict.fromkeys(name for protocol in spoken for name in protocol.response_headers)
    return ", ".join([*names, "Link", FREE_REMAINING, "Retry-After"])
