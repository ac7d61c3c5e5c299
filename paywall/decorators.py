"""`@payment_required`, the door for function views."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import cache, partial, wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.db import connections, transaction
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string

from paywall import declarations
from paywall.exceptions import NotForSale
from paywall.gate import Door, through
from paywall.models import PricedMixin, Resource
from paywall.steps import arun, call, query, run

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.offers import Reference
    from paywall.steps import Steps

View = TypeVar("View", bound=Callable[..., Any])
Sold = Resource | PricedMixin
GetResource = Callable[..., Sold | Awaitable[Sold]]


def payment_required(
    resource: str | GetResource,
    *,
    price: str | int | Decimal | None = None,
    currency: str | None = None,
    **fields: Any,
) -> Callable[[View], View]:
    """Let a request into the view once it is paid; answer 402 until then.

        @payment_required("forecast")                      # priced in the admin
        @payment_required("forecast", price="0.01", title="Forecast")  # made if it is missing
        @payment_required(get_article)        # (request, *args, **kwargs) -> Resource, or an
                                              # object of a model with PricedMixin

    `resource` is a Resource's slug, or a callable that gets the view's arguments and returns a
    Resource (a coroutine function too, on async views). `price` is in `currency` (by default
    `PAYWALL["CURRENCY"]`): a string or Decimal, never a float. `fields` are the Resource's:
    title, description, mime_type, policy, access, pass_seconds. What the code declares is
    made by `migrate` or `paywall_sync` where it does not exist; afterwards the admin rules.

    A resource that is missing, inactive, or has no price or account answers 503. The view must
    return its response; raised `Http404` and the like cost the buyer nothing under `after`.
    Stands above `require_POST` and the like or below them. What the view does inside
    `ATOMIC_REQUESTS` is still one transaction, which the payment's records are no part of.
    """
    if isinstance(resource, str):
        declarations.declare(resource, price, currency, **fields)
    elif price is not None or currency or fields:
        raise TypeError(
            "payment_required: a price goes with a slug; a callable's Resource has its own."
        )

    def decorate(view: View) -> View:
        if iscoroutinefunction(view):
            decorated: Any = async_door(view, partial(_finder, resource))
        else:
            if iscoroutinefunction(resource):
                raise TypeError(
                    "payment_required: a sync view needs a sync function for its Resource."
                )
            decorated = sync_door(view, partial(_finder, resource))
        # Programs pay without a CSRF token: a payment header cannot be forged by a cookie.
        # Whoever is let in by a cookie goes through `csrf_check_of`.
        decorated.csrf_exempt = True
        decorated.paywall_finder = partial(_finder, resource)
        # The gate's part is no transaction of the site's; the view gets that back in
        # `_in_request_transaction`.
        decorated._non_atomic_requests = set(connections)
        return cast("View", decorated)

    return decorate


FinderFor = Callable[..., Callable[[], "Steps[Reference]"]]
"""For a request and the view's arguments, what finds the Resource."""


def is_door(view: Callable[..., Any]) -> bool:
    """Whether a view is sold by a decorator already."""
    return finder_of(view) is not None


def finder_of(view: Callable[..., Any]) -> FinderFor | None:
    """How the decorator of a view finds its Resource; None for a view without one."""
    return getattr(view, "paywall_finder", None)


def sync_door(view: Callable[..., Any], finder: FinderFor) -> Callable[..., HttpResponseBase]:
    """A sync view behind the gate."""
    check_csrf = csrf_check_of(view)

    @wraps(view)
    def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        def enter() -> HttpResponseBase:
            return _rendered(_in_request_transaction(view)(request, *args, **kwargs), view)

        def enter_checked() -> HttpResponseBase:
            return check_csrf(request, args, kwargs) or enter()

        find = finder(request, *args, **kwargs)
        return run(through(request, Door(find, enter, enter_checked)))

    return door


def async_door(view: Callable[..., Any], finder: FinderFor) -> Any:
    """An async view behind the gate."""
    check_csrf = csrf_check_of(view)

    @wraps(view)
    async def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        async def enter() -> HttpResponseBase:
            response = await view(request, *args, **kwargs)
            if hasattr(response, "render"):
                return await arun(query(_rendered, response, view))
            return _rendered(response, view)

        async def enter_checked() -> HttpResponseBase:
            refused = await arun(query(check_csrf, request, args, kwargs))
            return refused or await enter()

        find = finder(request, *args, **kwargs)
        return await arun(through(request, Door(find, enter, enter_checked)))

    return markcoroutinefunction(door)


def _finder(
    resource: str | GetResource, request: HttpRequest, *args: Any, **kwargs: Any
) -> Callable[[], Steps[Reference]]:
    def find() -> Steps[Reference]:
        if isinstance(resource, str):
            return resource
        ask = call if iscoroutinefunction(resource) else query
        found = yield from ask(lambda: resource(request, *args, **kwargs))
        if isinstance(found, PricedMixin):
            what = found
            found = yield from query(lambda: what.paywall_resource)
        if not isinstance(found, Resource) or found.pk is None:
            raise NotForSale(f"{resource!r} returned {found!r}, which is no saved Resource.")
        return int(found.pk)

    return find


def _rendered(response: Any, view: Callable[..., Any]) -> HttpResponseBase:
    """The view's response, rendered: a template that fails must fail before anyone pays."""
    if response is None or not hasattr(response, "status_code"):
        name = getattr(view, "__qualname__", repr(view))
        raise ValueError(
            f"The view {name} returned {type(response).__name__}, not an HttpResponse."
        )
    if callable(getattr(response, "render", None)) and not getattr(response, "is_rendered", True):
        response = response.render()
    return cast("HttpResponseBase", response)


def _in_request_transaction(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view as Django would run it: in a transaction of each database that wants it."""
    exempt: set[str] = getattr(view, "_non_atomic_requests", set())
    for alias, config in connections.settings.items():
        if config["ATOMIC_REQUESTS"] and alias not in exempt:
            view = transaction.atomic(using=alias)(view)
    return view


def csrf_check_of(
    view: Callable[..., Any],
) -> Callable[[HttpRequest, Any, Any], HttpResponseBase | None]:
    def check(request: HttpRequest, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """None, or the answer that Django's own middleware gives to a forged request."""
        if not _site_checks_csrf():
            return None
        middleware = CsrfViewMiddleware(lambda _: None)  # type: ignore[arg-type]
        middleware.process_request(request)
        return middleware.process_view(request, view, args, kwargs)

    return check


@cache
def _site_checks_csrf() -> bool:
    middleware = (import_string(path) for path in settings.MIDDLEWARE)
    return any(isinstance(m, type) and issubclass(m, CsrfViewMiddleware) for m in middleware)
