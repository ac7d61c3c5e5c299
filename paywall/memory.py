"""What a process remembers of strangers, who choose the keys: so much of it, and no more."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST = 10_000


class Bounded(dict[K, V]):
    """A dictionary that is emptied before it takes more than `MOST` keys. Fill it by `[key] =`:
    it is for what can be found out again."""

    def __setitem__(self, key: K, value: V) -> None:
        if key not in self and len(self) >= MOST:
            self.clear()
        super().__setitem__(key, value)
