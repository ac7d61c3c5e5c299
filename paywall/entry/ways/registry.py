"""Which ways in there are, in the order in which they are asked: ours, then the settings' own.

PAYWALL = {"WAYS_IN": ["site.ways.Librarians"]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import conf, extensions

from .balances import Balances
from .base import Way
from .free_quota import FreeQuotas
from .gifts import Gifts
from .guests import Guests
from .licensed import Licenses
from .metered import Metered
from .paid import Paid
from .passes import Passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paywall.effects import Steps

    from .base import Ticket, Visit

OURS: tuple[type[Way], ...] = (Passes, Paid, Licenses, Guests, FreeQuotas, Gifts, Metered, Balances)


@conf.kept
def all_() -> Sequence[Way]:
    """Every way in. Raises `ImproperlyConfigured`, naming the setting."""
    return (*(kind() for kind in OURS), *extensions.made("WAYS_IN", conf.get().ways_in, Way))


def admit(visit: Visit) -> Steps[Ticket | None]:
    """The ticket of the first way that lets a visit in. Raises `Refused`, `Unavailable`."""
    for way in all_():
        looking = way.admit(visit)
        ticket = None if looking is None else (yield from looking)
        if ticket is not None:
            return ticket
    return None
