"""What a site adds of its own, named in its settings by dotted paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T")
N = TypeVar("N", bound=_Named)


def made(setting: str, paths: Iterable[str], kind: type[T]) -> list[T]:
    """One of each class. Raises `ImproperlyConfigured`, naming the setting."""
    found: list[T] = []
    for path in paths:
        one = _make(setting, path)
        if not isinstance(one, kind):
            raise ImproperlyConfigured(f"PAYWALL[{setting!r}]: {path!r} is no {kind.__name__}.")
        found.append(one)
    return found


def by_name(setting: str, paths: Iterable[str], kind: type[N]) -> dict[str, N]:
    """The same, each by a name that no other has."""
    found: dict[str, N] = {}
    for path in paths:
        one = _make(setting, path)
        if not isinstance(one, kind) or one.name in found:
            raise ImproperlyConfigured(
                f"PAYWALL[{setting!r}]: {path!r} is no {kind.__name__}, or has the name of another "
                "one."
            )
        found[one.name] = one
    return found


def _make(setting: str, path: str) -> Any:
    try:
        return import_string(path)()
    except (ImportError, TypeError) as error:
        raise ImproperlyConfigured(f"PAYWALL[{setting!r}]: {path!r}: {error}") from error
