"""Class-based views that are sold.

    class Report(LoginRequiredMixin, PaymentRequiredMixin, DetailView):
        model = Report
        paywall_resource = "report"

Mixins to its left go first: who has to sign in does so before paying. For a class that is not
yours, `method_decorator(payment_required(...), name="dispatch")` does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.template.loader import render_to_string

from paywall.catalog import declarations
from paywall.decorators import door_to, mark_as_sold

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class PaymentRequiredMixin:
    """Sells what the classes to its right answer, sync or async."""

    paywall_resource: str | None = None
    """A Resource's slug; for others see `get_paywall_resource`."""
    paywall_declaration: ClassVar[Mapping[str, Any]] = {}
    """What `payment_required` is given besides the slug: `{"price": "0.25", "title": "Report"}`."""
    paywall_teaser: str | None = None
    """A template of what a person sees before paying, which gets `view`; by default it is the
    Resource's description."""

    request: HttpRequest

    def get_paywall_resource(self) -> Any:
        """What is sold: a Resource, its slug, or an object of a model with `PricedMixin`.

        Called before the view, with `self.request` and `self.kwargs`. In an async view it may be a
        coroutine function. A `DetailView` of such a model may `return self.get_object()`.
        """
        if self.paywall_resource is None:
            raise ImproperlyConfigured(
                f"{type(self).__name__}: name its paywall_resource, or override "
                "get_paywall_resource()."
            )
        return self.paywall_resource

    def get_paywall_teaser(self) -> str:
        """What a person sees before paying; "" for the Resource's description."""
        if self.paywall_teaser is None:
            return ""
        return render_to_string(self.paywall_teaser, {"view": self}, self.request)

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., Any]:
        view: Any = super().as_view(**initkwargs)  # type: ignore[misc]
        slug = initkwargs.get("paywall_resource", cls.paywall_resource)
        if isinstance(slug, str):
            declared = {"price": None, "currency": None, **cls.paywall_declaration}
            declarations.declare(slug, **declared)
            declarations.name_view(slug, cls)
        mark_as_sold(view, slug if isinstance(slug, str) else cls.get_paywall_resource)
        return view  # type: ignore[no-any-return]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        door = door_to(super().dispatch, self._getter(), self._teaser)  # type: ignore[misc]
        return door(request, *args, **kwargs)  # type: ignore[no-any-return]

    def _getter(self) -> Callable[..., Any]:
        if iscoroutinefunction(self.get_paywall_resource):

            async def aget(*_: Any, **__: Any) -> Any:
                return await self.get_paywall_resource()

            return aget
        return lambda *_, **__: self.get_paywall_resource()

    def _teaser(self, *_: Any, **__: Any) -> str:
        return self.get_paywall_teaser()
