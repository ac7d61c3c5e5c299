"""The site's own users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.http import HttpRequest


def counted_as(user_id: Any) -> str:
    """By what a user's free requests are counted."""
    return f"user {user_id}"


def user_id(request: HttpRequest) -> Any:
    """The primary key of the signed-in user, or None. May query the database."""
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None
