"""Conditions that stand in the SQL as they stand in a partial index.

SQLite uses a partial index only where it can see that the query fits the index's condition, and
PostgreSQL's generic plans too: a bound parameter hides that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Q, Value

if TYPE_CHECKING:
    from collections.abc import Iterable


class Literal(Value):
    """A plain word of our own, or "", written into the SQL. Raises `ValueError` for any other."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        word = str(self.value)
        if word and not word.replace("_", "").isalnum():
            raise ValueError(f"no plain word: {word!r}")
        return f"'{word}'", []


def one_of(field: str, words: Iterable[str]) -> Q:
    """`field IN ('a', 'b')`, just as the index that has `field__in=["a", "b"]` says it."""
    return Q(**{f"{field}__in": [Literal(str(word)) for word in words]})
