"""`@payment_required`, the door for function views."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from django.template.loader import render_to_string
from django.utils.module_loading import import_string

from paywall.catalog import declarations, offers
from paywall.effects import Presence, arun, call, query, run
from paywall.entry import failures
from paywall.entry.gate import Door, through
from paywall.exceptions import NotForSale
from paywall.models import PricedMixin, Resource, SoldBy

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

    from paywall.catalog.offers import Reference
    from paywall.effects import Steps

View = TypeVar("View", bound=Callable[..., Any])
Sold = Resource | PricedMixin
GetResource = Callable[..., Sold | Awaitable[Sold]]


def maps_payment_errors(view: View) -> View:
    """Answer by 402, 409, 429 or 503 what a view raises about a payment of its own.

    That is `PaymentFailed`, or an exception of Stripe's package (docs/cards.md).
    `PaywallMiddleware` does it for all views.

        @maps_payment_errors
        def buy(request):
            stripe.PaymentIntent.create(...)
    """

    def answered(request: HttpRequest, error: Exception) -> Any:
        response = failures.answer(request, error)
        if response is None:
            raise error
        return response

    if iscoroutinefunction(view):

        @wraps(view)
        async def maps_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return await view(request, *args, **kwargs)
            except Exception as error:
                return await sync_to_async(answered, thread_sensitive=True)(request, error)

        return cast("View", maps_async)

    @wraps(view)
    def maps(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(request, *args, **kwargs)
        except Exception as error:
            return answered(request, error)

    return cast("View", maps)


def payment_required(
    resource: str | GetResource,
    *,
    price: str | int | Decimal | None = None,
    currency: str | None = None,
    teaser: str | Callable[..., Any] | None = None,
    **fields: Any,
) -> Callable[[View], View]:
    """Let a request into the view once it is paid; answer 402 until then.

        @payment_required("forecast")                      # priced in the admin
        @payment_required("forecast", price="0.01", title="Forecast")  # made if it is missing
        @payment_required(get_article)        # (request, *args, **kwargs) -> Resource, its slug,
                                              # or an object of a model with PricedMixin
        @payment_required(Article.sold_by("slug"))  # such an object, by the view's arguments

    `resource` is a Resource's slug, or a callable that gets the view's arguments and returns a
    Resource (a coroutine function too, on async views). `price` is in `currency` (by default
    `PAYWALL["CURRENCY"]`): a string or Decimal, never a float. `fields` are the Resource's:
    title, description, mime_type, policy, access, pass_seconds, payment_header, by_use, interface.
    What the code declares is made by `migrate` or `paywall_sync` where it does not exist;
    afterwards the admin rules.

    `teaser` is what a person sees of the page before paying, instead of the Resource's description:
    a callable that gets the view's arguments and returns text (escaped unless it is marked safe),
    or the name of a template, which gets them as `args` and `kwargs`.

    It takes functions, methods that get a request (also Django REST framework's, below `@api_view`
    or on `get`), `X.as_view()`, and stands in Ninja as `@decorate_view(payment_required(...))`.
    What is sold so is for whoever pays: `LoginRequiredMiddleware` leaves it alone. A redirect to
    where the site signs people in, or a 304, delivers nothing and costs nothing.

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
        if isinstance(view, type):
            raise TypeError(
                f"payment_required: {view.__name__} is a class. Give it PaymentRequiredMixin "
                "(paywall.mixins), or write @method_decorator(payment_required(...), "
                'name="dispatch").'
            )
        if isinstance(resource, str):
            declarations.name_view(resource, view)
        if iscoroutinefunction(resource) and not is_async_view(view):
            raise TypeError("payment_required: a sync view needs a sync function for its Resource.")
        decorated: Any = door_to(view, resource, teaser)
        mark_as_sold(decorated, resource)
        decorated.paywall_view = view
        decorated._ninja_contribute_to_operation = [
            *getattr(view, "_ninja_contribute_to_operation", ()),
            _refuse_to_be_an_operation,
        ]
        return cast("View", decorated)

    return decorate


def _refuse_to_be_an_operation(operation: Any) -> None:
    """Called by Django Ninja when it makes an operation of a view that is sold. An operation's
    function returns data, which is no response that could be held back until it is paid."""
    raise ImproperlyConfigured(
        f"payment_required: on the Ninja operation {_name_of(operation.view_func)} write "
        "@decorate_view(payment_required(...)) (from ninja.decorators), below @api.get(...)."
    )


def _name_of(view: Callable[..., Any]) -> str:
    return getattr(view, "__qualname__", repr(view))


def is_async_view(view: Callable[..., Any]) -> bool:
    """Whether a view has to be awaited: also `X.as_view()` of a class with async handlers (marked
    so that only asgiref sees it), and `dispatch` of such a class, bound by `method_decorator`."""
    if iscoroutinefunction(view):
        return True
    inner = view
    while isinstance(inner, partial):
        inner = inner.func
    owner = getattr(inner, "__self__", None)
    return bool(
        getattr(inner, "__name__", "") == "dispatch" and getattr(owner, "view_is_async", False)
    )


FinderFor = Callable[..., Callable[[], "Steps[Reference]"]]
"""For a request and the view's arguments, what finds the Resource."""


def is_door(view: Callable[..., Any]) -> bool:
    """Whether a view is sold by a decorator already."""
    return finder_of(view) is not None


def finder_of(view: Callable[..., Any]) -> FinderFor | None:
    """How the decorator of a view finds its Resource; None for a view without one."""
    return getattr(view, "paywall_finder", None)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One call of a view: its request, and what stands around it."""

    request: HttpRequest
    given: Any
    """What the view was given for it: Django REST framework wraps it."""
    position: int
    """Its place: 1 in a method."""

    @classmethod
    def of(cls, args: tuple[Any, ...]) -> _Visit:
        for position, value in enumerate(args[:2]):
            inner = getattr(value, "_request", value)
            if isinstance(inner, HttpRequest):
                return cls(inner, value, position)
        raise TypeError("payment_required: the view is not called with a request.")

    @property
    def framework_view(self) -> Any:
        """The view of Django REST framework that is at work, if one is."""
        if self.given is self.request:
            return None
        return (getattr(self.given, "parser_context", None) or {}).get("view")

    def finalized(self, response: Any, args: Any, kwargs: Any) -> Any:
        """Ready to be rendered: Django REST framework chooses how only after its handler."""
        view = self.framework_view
        if view is None or not hasattr(response, "status_code"):
            return response
        return view.finalize_response(self.given, response, *args, **kwargs)


def sync_door(
    view: Callable[..., Any],
    finder: FinderFor,
    hooks: Hooks | None = None,
    teaser: str | Callable[..., Any] | None = None,
) -> Callable[..., HttpResponseBase]:
    """A sync view behind the gate. `hooks` are those of middleware that Django would call itself
    if it called the view."""
    check_csrf = csrf_check_of(view)

    @wraps(view)
    def door(*all_args: Any, **kwargs: Any) -> HttpResponseBase:
        visit = _Visit.of(all_args)
        request, args = visit.request, all_args[visit.position + 1 :]

        def enter() -> HttpResponseBase:
            try:
                response = _in_request_transaction(view)(*all_args, **kwargs)
                response = visit.finalized(response, args, kwargs)
                if hooks is not None:
                    response = hooks.template_response(request, response)
                return _rendered(response, view)
            except Exception as error:
                answer = hooks.exception(request, error) if hooks is not None else None
                if answer is None:
                    raise
                return _rendered(answer, view)

        def enter_checked() -> HttpResponseBase:
            if visit.framework_view is not None:
                return enter()  # it checks by itself
            return check_csrf(request, args, kwargs) or enter()

        find = finder(visit.given, *args, **kwargs)
        entrance = Door(
            find,
            enter,
            enter_checked,
            teaser=_teaser(teaser, visit.given, args, kwargs),
            login_url=getattr(view, "login_url", None),
        )
        return run(through(request, entrance))

    return door


def async_door(
    view: Callable[..., Any],
    finder: FinderFor,
    hooks: Hooks | None = None,
    teaser: str | Callable[..., Any] | None = None,
) -> Any:
    """An async view behind the gate."""
    check_csrf = csrf_check_of(view)

    @wraps(view)
    async def door(*all_args: Any, **kwargs: Any) -> HttpResponseBase:
        visit = _Visit.of(all_args)
        request, args = visit.request, all_args[visit.position + 1 :]
        presence = Presence()

        def finish(response: Any) -> HttpResponseBase:
            if hooks is not None:
                response = hooks.template_response(request, response)
            return _rendered(response, view)

        async def enter() -> HttpResponseBase:
            try:
                response = await view(*all_args, **kwargs)
                if hasattr(response, "render"):
                    return await arun(query(finish, response))
                return _rendered(response, view)
            except Exception as error:
                if hooks is None:
                    raise
                answer = await arun(query(hooks.exception, request, error))
                if answer is None:
                    raise
                return await arun(query(_rendered, answer, view))

        async def enter_checked() -> HttpResponseBase:
            refused = await arun(query(check_csrf, request, args, kwargs))
            return refused or await enter()

        find = finder(visit.given, *args, **kwargs)
        entrance = Door(
            find,
            enter,
            enter_checked,
            presence,
            _teaser(teaser, visit.given, args, kwargs),
            getattr(view, "login_url", None),
        )
        return await arun(through(request, entrance), presence)

    return markcoroutinefunction(door)


def _teaser(
    teaser: str | Callable[..., Any] | None, request: Any, args: Any, kwargs: Any
) -> Callable[[], Any] | None:
    if teaser is None:
        return None
    if callable(teaser):
        return partial(teaser, request, *args, **kwargs)
    return partial(render_to_string, teaser, {"args": args, "kwargs": kwargs}, request)


class Hooks(Protocol):
    """What middleware does with what a view raises or returns, before it is rendered."""

    def exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None: ...

    def template_response(self, request: HttpRequest, response: Any) -> Any: ...


def _finder(
    resource: str | GetResource, request: HttpRequest, *args: Any, **kwargs: Any
) -> Callable[[], Steps[Reference]]:
    def find() -> Steps[Reference]:
        if isinstance(resource, str):
            return resource
        sold_by = resource if isinstance(resource, SoldBy) else None
        if sold_by is not None and (kept := offers.peek_sold_by(sold_by, kwargs)) is not None:
            return kept
        ask = call if iscoroutinefunction(resource) else query
        found = yield from ask(lambda: resource(request, *args, **kwargs))
        if isinstance(found, str):
            return found
        if isinstance(found, PricedMixin):
            key = yield from query(offers.of_object, found)
            if key is not None:
                if sold_by is not None:
                    offers.keep_sold_by(sold_by, kwargs, key)
                return key
        if not isinstance(found, Resource) or found.pk is None:
            raise NotForSale(f"{resource!r} returned {found!r}, which is no saved Resource.")
        return int(found.pk)

    return find


def door_to(view: Callable[..., Any], resource: str | GetResource, teaser: Any = None) -> Any:
    """A view behind the gate, whichever kind it is."""
    finder = partial(_finder, resource)
    make = async_door if is_async_view(view) else sync_door
    return make(view, finder, teaser=teaser)


def mark_as_sold(view: Any, resource: str | GetResource) -> None:
    """Say to Django, and to who lists what is sold, what `payment_required` says of its views."""
    # Programs pay without a CSRF token: a payment header cannot be forged by a cookie.
    # Whoever is let in by a cookie goes through `csrf_check_of`.
    view.csrf_exempt = True
    view.paywall_finder = partial(_finder, resource)
    # Programs cannot sign in; they pay. (Asked for by LoginRequiredMiddleware.)
    view.login_required = False
    # The gate's part is no transaction of the site's; the view gets that back in
    # `_in_request_transaction`.
    view._non_atomic_requests = set(connections)


def _rendered(response: Any, view: Callable[..., Any]) -> HttpResponseBase:
    """The view's response, rendered: a template that fails must fail before anyone pays."""
    if response is None or not hasattr(response, "status_code"):
        raise ValueError(
            f"The view {_name_of(view)} returned {type(response).__name__}, not an HttpResponse."
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
