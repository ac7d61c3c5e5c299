"""What was looked at, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Worth knowing, and right so for some."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    grade: Grade
    what: str
    todo: str = ""

    def json(self) -> dict[str, str]:
        return {"grade": str(self.grade), "what": self.what, "todo": self.todo}


def ok(what: str) -> Finding:
    return Finding(Grade.OK, what)


def note(what: str, todo: str = "") -> Finding:
    return Finding(Grade.NOTE, what, todo)


def fail(what: str, todo: str = "") -> Finding:
    return Finding(Grade.FAIL, what, todo)
