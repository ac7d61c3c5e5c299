"""What must never be printed."""

from __future__ import annotations


class Secret:
    """A private key or the like. Nothing that prints or records objects learns it: not a log, not
    an error page, not a crash reporter that keeps local variables."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """For the function that signs."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(...)" if self._value else "Secret()"
