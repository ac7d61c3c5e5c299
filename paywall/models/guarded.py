"""Rows whose state one module alone moves. Not by promise: the queryset refuses everybody else."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)


class Guarded(models.QuerySet[M]):
    """`state` is not for `update` to write."""

    writer = ""
    """The module that may."""

    def update(self, **kwargs: Any) -> int:
        if "state" in kwargs:
            raise self._refusal()
        return super().update(**kwargs)

    def bulk_update(self, objs: Any, fields: Any, batch_size: int | None = None) -> int:
        if "state" in fields:
            raise self._refusal()
        return super().bulk_update(objs, fields, batch_size)

    def move(self, state: str, **changes: Any) -> int:
        """For the writer: to that state, with these changes. Returns how many rows moved."""
        return super().update(state=state, **changes)

    @classmethod
    def _refusal(cls) -> TypeError:
        return TypeError(f"Only {cls.writer} moves a row to another state.")


class GuardedModel(models.Model):
    """A row with a `state`: once it is there, no `save` writes that."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        fields = kwargs.get("update_fields")
        if not self._state.adding and (fields is None or "state" in fields):
            raise type(self)._default_manager.all()._refusal()  # type: ignore[attr-defined]
        super().save(*args, **kwargs)
