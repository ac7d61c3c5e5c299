"""What staff did, in the admin's own log, with before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.apps import apps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import Model


def write(user: Any, subject: Model, message: str) -> None:
    """Note on the subject's page in the admin what somebody did to it."""
    if not apps.is_installed("django.contrib.admin") or user is None or user.pk is None:
        return
    from django.contrib.admin.models import CHANGE, LogEntry

    LogEntry.objects.log_actions(
        user_id=cast("int", user.pk),
        queryset=[subject],
        action_flag=CHANGE,
        change_message=message,
        single_object=True,
    )


def changed(user: Any, subject: Model, what: str, before: Any, after: Any) -> None:
    """The same for one thing that was one way and is another now."""
    write(user, subject, f"{what}: {before} → {after}")


def compared(user: Any, before: Model | None, after: Model, names: Iterable[str]) -> None:
    """The same for each of these fields that is another now; nothing for what is new."""
    if before is None:
        return
    for name in names:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changed(user, after, name, old, new)
