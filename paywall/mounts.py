"""Where the paywall's own views are on this site, if it mounts them."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse


def path_of(name: str, *args: Any, urlconf: str | None = None) -> str:
    """The path of a view by its URL name; "" on a site that does not mount it, or whose URLconf has
    an expression that Django cannot turn around."""
    try:
        return reverse(name, urlconf, args=args)
    except (NoReverseMatch, ValueError):
        return ""
