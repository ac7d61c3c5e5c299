"""What was looked at, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext_lazy as _


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

    @property
    def word(self) -> str:
        """Its grade, for people."""
        return str(_WORDS[self.grade])

    @classmethod
    def of(cls, told: dict[str, str]) -> Finding:
        """What `json` made of one."""
        return cls(Grade(told["grade"]), told["what"], told["todo"])

    def json(self) -> dict[str, str]:
        return {"grade": str(self.grade), "what": self.what, "todo": self.todo}


_WORDS = {Grade.OK: _("well"), Grade.NOTE: _("note"), Grade.FAIL: _("stops money")}


def ok(what: str) -> Finding:
    return Finding(Grade.OK, what)


def note(what: str, todo: str = "") -> Finding:
    return Finding(Grade.NOTE, what, todo)


def fail(what: str, todo: str = "") -> Finding:
    return Finding(Grade.FAIL, what, todo)
