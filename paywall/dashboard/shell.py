"""What all pages of the dashboard share: who may see them, and what stands around them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache

from paywall.mounts import path_of

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

View = Callable[..., "HttpResponseBase"]


def staff_only(permission: str) -> Callable[[View], View]:
    """Staff with a permission; others are asked to sign in, or told that they may not."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = request.user
            if not user.is_authenticated:
                return redirect_to_login(request.get_full_path(), admin_url("login"))
            if not (user.is_active and cast("Any", user).is_staff and user.has_perm(permission)):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return never_cache(guarded)

    return decorate


def url(request: HttpRequest, name: str, *args: Any) -> str:
    """A page of the dashboard under the same mount as the request's."""
    match = request.resolver_match
    assert match is not None
    return reverse(f"{match.namespace}:{name}", args=args)


def in_admin(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and "admin" in match.app_names


def page(
    request: HttpRequest, template: str, context: dict[str, Any], *, fragment: bool = False
) -> TemplateResponse:
    """A page in the admin's frame or in its own; or only its inner part, for htmx."""
    needs_admin = in_admin(request) and not fragment
    around = admin.site.each_context(request) if needs_admin else {}
    frame = "fragment" if fragment else "in_admin" if in_admin(request) else "alone"
    return TemplateResponse(
        request,
        f"paywall/dashboard/{template}",
        {**around, "frame": f"paywall/dashboard/{frame}.html", **context},
    )


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks, for a part of the page that it will put in place."""
    return request.headers.get("HX-Request") == "true"


def admin_url(name: str, *args: Any) -> str | None:
    """A page of the admin, or None where the site has none."""
    return path_of(f"admin:{name}", *args) or None
