"""What Django keeps to itself and we need all the same: each of it stands here alone.

`tests/test_django_internals.py` shows, for every supported Django, that it does what is said here.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

log = logging.getLogger(__name__)


def keep_out_of_request_log(response: HttpResponseBase) -> None:
    """Have Django not log a response of 4xx or 5xx (`django.utils.log.log_response`)."""
    response._has_been_logged = True  # type: ignore[attr-defined]


def debug() -> bool:
    """`DEBUG`, as the site has it: while its tests run Django turns it off
    (`django.test.utils.setup_test_environment`)."""
    tests = sys.modules.get("django.test.utils")
    saved = getattr(getattr(tests, "_TestState", None), "saved_data", None)
    return bool(settings.DEBUG or (saved is not None and saved.debug))


def free_resources(response: HttpResponseBase) -> None:
    """Close what a response holds (an open file, say) that will not go out.

    Not `response.close()`: that would tell Django that the request is over.
    """
    for closer in response._resource_closers:  # type: ignore[attr-defined]
        try:
            closer()
        except Exception:
            log.exception("A response that was held back could not be closed")


def never_cache_response_of(request: HttpRequest) -> None:
    """Have Django's cache middleware store nothing for a request, whoever of it is asked.

    They ask `request._cache_update_cache`, and set it themselves; so it is one that stays False.
    """
    kind: Any = type(request)
    request.__class__ = _never_cached(kind)


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


def put_off_csrf_check(request: HttpRequest) -> bool:
    """Have `CsrfViewMiddleware` let a request pass; whether somebody had that done before."""
    before: bool = getattr(request, "_dont_enforce_csrf_checks", False)
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    return before


def have_csrf_checked(request: HttpRequest, before: bool) -> None:
    """Have `CsrfViewMiddleware` look at a request again, as it would have done before."""
    request._dont_enforce_csrf_checks = before  # type: ignore[attr-defined]
    request.csrf_processing_done = False  # type: ignore[attr-defined]


def is_in_test_case(connection: BaseDatabaseWrapper) -> bool:
    """Whether a connection is in a transaction that a `TestCase` wraps its tests in."""
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def is_loaded(instance: Model, relation: str) -> bool:
    """Whether a related object is there already, so that asking for it queries nothing."""
    return relation in instance._state.fields_cache


def views_with_routes() -> Iterator[tuple[Any, str]]:
    """Every view of the site's URLconf, with its path: `/articles/<slug:slug>/`. What
    `django.contrib.admindocs` uses to list them."""
    from django.contrib.admindocs.views import extract_views_from_urlpatterns, simplify_regex
    from django.urls import get_resolver

    for view, route, *_ in extract_views_from_urlpatterns(get_resolver().url_patterns):
        yield view, simplify_regex(str(route))
