"""What is sold and Django's caches: nothing that one buyer paid for may be handed to another."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.http import HttpRequest

CONDITIONAL = (
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
)


def keep_out(request: HttpRequest) -> None:
    """Have Django's cache middleware store nothing for this request: neither the site's, outside of
    the gate, nor a `@cache_page` inside, whose cache the site's would read from.

    They ask `request._cache_update_cache`, and set it themselves; so it is one that stays False.
    """
    kind: Any = type(request)
    request.__class__ = _never_cached(kind)


def answer_whole(request: HttpRequest) -> None:
    """Have what was paid for go out as a whole: `ConditionalGetMiddleware` would make an empty 304
    of it, without the payment's headers, for a buyer who sends an ETag along."""
    for key in CONDITIONAL:
        request.META.pop(key, None)


@cache
def _never_cached(kind: Any) -> Any:
    if "_paywall_never_cached" in vars(kind):
        return kind
    members: dict[str, Any] = {
        "_paywall_never_cached": True,
        "_cache_update_cache": property(lambda self: False, lambda self, value: None),
        "__module__": kind.__module__,
        "__doc__": kind.__doc__,
    }
    return type(kind.__name__, (kind,), members)
