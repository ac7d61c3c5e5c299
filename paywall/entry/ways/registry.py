"""Which ways in there are, in the order in which they are asked: ours, then the settings' own.

PAYWALL = {"WAYS_IN": ["site.ways.Librarians"]}
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from paywall import conf

from .base import Way
from .free_quota import FreeQuotas
from .orders import PaidOrders
from .passes import Passes

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS: tuple[type[Way], ...] = (Passes, PaidOrders, FreeQuotas)


@cache
def all_() -> Sequence[Way]:
    """Every way in. Raises `ImproperlyConfigured`, naming the setting."""
    found = [kind() for kind in OURS]
    for path in conf.get().ways_in:
        try:
            way = import_string(path)()
        except (ImportError, TypeError) as error:
            raise ImproperlyConfigured(f"PAYWALL['WAYS_IN']: {path!r}: {error}") from error
        if not isinstance(way, Way):
            raise ImproperlyConfigured(f"PAYWALL['WAYS_IN']: {path!r} is no Way.")
        found.append(way)
    return tuple(found)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "PAYWALL":
        all_.cache_clear()


setting_changed.connect(_forget, dispatch_uid="paywall.ways")
