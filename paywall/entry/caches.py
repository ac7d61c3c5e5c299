"""What is sold and Django's caches: nothing that one buyer paid for may be handed to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import django_internals

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
    the gate, nor a `@cache_page` inside, whose cache the site's would read from."""
    django_internals.never_cache_response_of(request)


def answer_whole(request: HttpRequest) -> None:
    """Have what was paid for go out as a whole: `ConditionalGetMiddleware` would make an empty 304
    of it, without the payment's headers, for a buyer who sends an ETag along."""
    for key in CONDITIONAL:
        request.META.pop(key, None)
