"""Only a page of this site may press a button for its reader.

Browsers say where a POST comes from, in `Sec-Fetch-Site` (Fetch Metadata) or in `Origin` (RFC
6454); pages cannot forge either. So the 402 needs no CSRF cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.http import HttpResponseForbidden
from django.views.decorators.csrf import csrf_exempt

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def is_our_own(request: HttpRequest) -> bool:
    """Whether a page of this very origin sent the request."""
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return bool(site == "same-origin")
    origin = request.META.get("HTTP_ORIGIN")
    return bool(origin == f"{request.scheme}://{request.get_host()}")


def same_origin(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Refuse what changes something unless a page of this origin asks."""

    @csrf_exempt
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in SAFE and not is_our_own(request):
            return HttpResponseForbidden("This has to be sent by a page of this site.")
        return view(request, *args, **kwargs)

    return checked
