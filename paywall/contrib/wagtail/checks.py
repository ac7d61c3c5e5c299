"""What would give away pages that are sold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.checks import CheckMessage, Error

from .models import PaidPageMixin

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_pages(**_: Any) -> list[CheckMessage]:
    """Of all models of paid pages."""
    return [found for model in page_models() for found in _check(model)]


def page_models() -> list[Any]:
    """The site's models of pages that can be sold."""
    return [model for model in apps.get_models() if issubclass(model, PaidPageMixin)]


def _check(model: Any) -> Iterator[CheckMessage]:
    exposed = {getattr(field, "name", field) for field in getattr(model, "api_fields", ())}
    if model.paywall_body in exposed:
        yield Error(
            f"{model._meta.label}: its api_fields have {model.paywall_body!r} in them: Wagtail's "
            "API gives what is sold to everybody.",
            hint="Take it out; a property that returns get_paywall_teaser() can stand there.",
            obj=model,
            id="paywall.E019",
        )
    first = next(base for base in model.__mro__ if "serve" in vars(base))
    if first is not PaidPageMixin:
        yield Error(
            f"{model._meta.label}: {first.__name__}.serve() comes before that of PaidPageMixin, "
            "and may give the page away.",
            hint="Have PaidPageMixin be the first of its bases: (PaidPageMixin, ..., Page).",
            obj=model,
            id="paywall.E020",
        )
