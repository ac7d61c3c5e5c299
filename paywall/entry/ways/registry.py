"""Which ways in there are, in the order in which they are asked: ours, then the settings' own.

PAYWALL = {"WAYS_IN": ["site.ways.Librarians"]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import conf, extensions

from .base import Way
from .free_quota import FreeQuotas
from .orders import PaidOrders
from .passes import Passes

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS: tuple[type[Way], ...] = (Passes, PaidOrders, FreeQuotas)


@conf.kept
def all_() -> Sequence[Way]:
    """Every way in. Raises `ImproperlyConfigured`, naming the setting."""
    return (*(kind() for kind in OURS), *extensions.made("WAYS_IN", conf.get().ways_in, Way))
