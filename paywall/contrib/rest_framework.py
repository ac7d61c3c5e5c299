"""Django REST framework: a permission that sells, by view or by action, and a decorator.

    class Forecasts(ViewSet):
        permission_classes = [IsAdminUser | PaymentRequired]  # staff pay nothing
        paywall_resource = {"list": None, "retrieve": "forecast"}

What is refused is rendered as the client negotiated it. Authentication is the framework's own: what
pays (`PAYMENT-SIGNATURE`, `Authorization: Payment`) is none of its credentials, and it sees none of
ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from rest_framework.permissions import BasePermission
from rest_framework.response import Response

from paywall.catalog import offers
from paywall.decorators import door_to
from paywall.decorators import payment_required as sold
from paywall.exceptions import NotForSale
from paywall.money import money

if TYPE_CHECKING:
    from rest_framework.request import Request

FREE = None
"""In a view's `paywall_resource`: nothing is paid for that action."""


class PaymentRequired(BasePermission):  # type: ignore[misc,unused-ignore]
    """Lets in who pays, once, for what the view answers.

    What is sold stands in the view's `paywall_resource`: a slug, or a slug by action (`retrieve`)
    or method (`GET`), None for what is free; or comes from its `get_paywall_resource()`. An action
    that is not named there is not for sale, and answers 503. It comes last in `permission_classes`:
    what stands before it decides who may pay; `A | PaymentRequired` lets A in for nothing.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        resource = resource_of(view, str(request.method))
        name = str(request.method).lower()
        if resource is not FREE and name != "options":
            setattr(view, name, _negotiated(view, door_to(getattr(view, name), resource)))
        return True


def payment_required(resource: Any, **fields: Any) -> Callable[[Any], Any]:
    """`paywall.decorators.payment_required` for a method of an APIView, or an action of a ViewSet:
    what is refused is rendered as the client negotiated it."""

    def decorate(handler: Any) -> Any:
        door = sold(resource, **fields)(handler)

        @wraps(door)
        def negotiated(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
            return _negotiated(self, door, self)(request, *args, **kwargs)

        return negotiated

    return decorate


def resource_of(view: Any, method: str) -> Any:
    """What a view sells to a request of that method, or None; a function that says that it is not
    for sale where the view does not name it."""
    named: Any = getattr(view, "paywall_resource", None)
    if hasattr(view, "get_paywall_resource"):
        return lambda *_, **__: view.get_paywall_resource()
    if not isinstance(named, Mapping):
        return named if named is not None else _not_named(view, "paywall_resource")
    for key in (getattr(view, "action", None), method):
        if key in named:
            return named[key]
    if method == "HEAD" and "GET" in named:
        return named["GET"]
    return _not_named(view, f"paywall_resource for {getattr(view, 'action', None) or method}")


def _not_named(view: Any, what: str) -> Callable[..., Any]:
    def find(*_: Any, **__: Any) -> Any:
        raise NotForSale(f"{type(view).__name__} has no {what}: name a slug, or None.")

    return find


def _negotiated(view: Any, door: Callable[..., Any], *bound: Any) -> Callable[..., Any]:
    def enter(request: Request, *args: Any, **kwargs: Any) -> Any:
        renderer = request.accepted_renderer
        is_page = renderer.format == "api"
        if is_page:
            # The browsable API is a developer's page: it shows what a program gets.
            request._request.paywall_as_data = True
        answer = door(*bound, request, *args, **kwargs)
        is_ours = type(answer) is HttpResponse and answer.status_code >= 400
        if not is_ours or renderer.media_type == "application/json" or not _is_json(answer):
            return answer
        data = json.loads(answer.content)
        if is_page and (price := _price(view, request)):
            data = {"price": price, **data}
        rendered = Response(data, status=answer.status_code)
        for name, value in answer.items():
            if name not in ("Content-Type", "Content-Length"):
                rendered.headers[name] = value
        return rendered

    return enter


def _is_json(answer: HttpResponse) -> bool:
    return "json" in answer.headers.get("Content-Type", "")


def _price(view: Any, request: Request) -> str:
    """What it costs, for people; "" where one object costs another price than the next."""
    slug = slug_of(view, str(request.method))
    if slug is None:
        return ""
    try:
        prices = offers.get(slug).prices
    except NotForSale:
        return ""
    return ", ".join(f"{money(amount)} {currency}" for currency, amount in prices.items())


def slug_of(view: Any, method: str) -> str | None:
    """The slug of what a view sells to a request of that method, if it is always the same."""
    handler = getattr(view, getattr(view, "action", None) or method.lower(), None)
    finder = getattr(handler, "paywall_finder", None)
    if finder is not None:
        return finder.args[0] if isinstance(finder.args[0], str) else None
    if not any(_sells(permission) for permission in view.get_permissions()):
        return None
    resource = resource_of(view, method)
    return resource if isinstance(resource, str) else None


def _sells(permission: Any) -> bool:
    """Also within `A | PaymentRequired`."""
    if isinstance(permission, PaymentRequired):
        return True
    parts = (getattr(permission, "op1", None), getattr(permission, "op2", None))
    return any(part is not None and _sells(part) for part in parts)
