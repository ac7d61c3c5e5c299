"""Where a resource is sold: paths as OpenAPI writes them, with what varies in braces."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.urls import get_urlconf

from paywall.django_internals import views_with_routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.models import Resource

Place = tuple[str, tuple[str, ...]]
"""A path, and the methods that are sold there."""


def of_rule(resource: Resource) -> list[Place]:
    """Where its path rule sells it."""
    if not resource.path:
        return []
    methods = tuple(part.strip() for part in resource.methods.split(",") if part.strip())
    return [(_template_of(resource.path), methods or ("GET",))]


def of_views(resource: Resource) -> list[Place]:
    """Where views of the site's URLconf sell it by its slug."""
    routes = _declared(str(get_urlconf() or django_settings.ROOT_URLCONF))
    return [(path, ("GET",)) for path in routes.get(resource.slug, ())]


def _template_of(rule: str) -> str:
    """A path rule as OpenAPI writes what varies: /archive/{path}."""
    numbered = iter(range(1, 100))
    parts = []
    for segment in rule.split("/"):
        if segment == "**":
            parts.append("{path}")
        elif "*" in segment:
            parts.append(re.sub(r"\*", lambda _: f"{{part{next(numbered)}}}", segment))
        else:
            parts.append(segment)
    return "/".join(parts)


_CONVERTED = re.compile(r"<(?:[^>:]+:)?([^>]+)>")


@lru_cache(maxsize=8)
def _declared(urlconf: str) -> Mapping[str, list[str]]:
    """The paths of each slug that a view of the URLconf sells."""
    found: dict[str, list[str]] = {}
    for view, route in views_with_routes():
        finder: Any = getattr(view, "paywall_finder", None)
        slug = finder.args[0] if finder is not None else None
        if isinstance(slug, str):
            found.setdefault(slug, []).append(_CONVERTED.sub(r"{\1}", route))
    return found
