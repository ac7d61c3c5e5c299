"""Passes kept in a cache that all processes share, so that who comes back costs no query.

Only where `PAYWALL["PASS_CACHE"]` names one. What is revoked is marked there, and a mark is never
written over by who looked just before: so a revocation takes effect at the next request.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.core.cache import caches
from django.utils import timezone

from paywall import conf

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.core.cache import BaseCache

log = logging.getLogger(__name__)

KEPT_FOR = 60
"""Seconds, after which the database is asked again whatever happens."""

_REVOKED, _FOREVER = "revoked", "forever"


def _cache() -> BaseCache | None:
    name = conf.get().pass_cache
    return caches[name] if name else None


def _key(resource_id: int, holder: str) -> str:
    return f"paywall.pass:{resource_id}:{holder}"


def is_open(resource_id: int, holder: str) -> bool:
    """Whether a browser is known to hold a pass that is good now."""
    cache = _cache()
    if cache is None:
        return False
    try:
        found = cache.get(_key(resource_id, holder))
    except Exception:
        log.warning("The cache of passes does not answer", exc_info=True)
        return False
    if found is None or found == _REVOKED:
        return False
    return bool(found == _FOREVER or found > timezone.now().timestamp())


def keep(resource_id: int, holder: str, expires_at: datetime | None) -> None:
    """A browser's pass was looked up just now."""
    cache = _cache()
    if cache is None:
        return
    try:
        until = _FOREVER if expires_at is None else expires_at.timestamp()
        cache.add(_key(resource_id, holder), until, KEPT_FOR)
    except Exception:
        log.warning("The cache of passes does not answer", exc_info=True)


def close(passes: Iterable[tuple[int, str]]) -> None:
    """These are revoked: resource and holder of each. Called within the transaction, and it must be
    told: with the cache away, nothing is revoked, and who asks is told so."""
    cache = _cache()
    keys = [_key(resource_id, holder) for resource_id, holder in passes if holder]
    if cache is not None and keys:
        # Longer than anything that was kept: who looked before the transaction ends adds nothing.
        cache.set_many(dict.fromkeys(keys, _REVOKED), 2 * KEPT_FOR)


def open_again(passes: Iterable[tuple[int, str]]) -> None:
    """These are good again, or new."""
    cache = _cache()
    keys = [_key(resource_id, holder) for resource_id, holder in passes if holder]
    if cache is not None and keys:
        try:
            cache.delete_many(keys)
        except Exception:
            log.warning("The cache of passes does not answer", exc_info=True)
