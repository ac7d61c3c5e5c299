"""The days that somebody looks at, and the same number of days before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import business_days

PRESETS = {
    "today": (1, _("Today")),
    "7": (7, _("7 days")),
    "30": (30, _("30 days")),
    "365": (365, _("365 days")),
}
DEFAULT = "30"
LONGEST = 3660


@dataclass(frozen=True, slots=True)
class Period:
    """Days in the owner's time zone, both included."""

    key: str
    """One of `PRESETS`, or "range"."""
    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> Period:
        return Period(self.key, self.first - timedelta(days=self.days), self.first - _DAY)

    @property
    def title(self) -> str:
        if self.key in PRESETS:
            return str(PRESETS[self.key][1])
        return gettext("%(first)s to %(last)s") % {
            "first": date_format(self.first, "SHORT_DATE_FORMAT"),
            "last": date_format(self.last, "SHORT_DATE_FORMAT"),
        }


_DAY = timedelta(days=1)


def read(query: Mapping[str, str]) -> Period:
    """The period that a URL's query names; the default one for nonsense."""
    key = query.get("period", DEFAULT)
    today = business_days.today()
    if key == "range":
        try:
            first = date.fromisoformat(query.get("from", ""))
            last = date.fromisoformat(query.get("to", ""))
        except ValueError:
            return read({})
        # Days that nobody sold anything on are brought into reach.
        earliest, latest = date(2000, 1, 1), today + timedelta(days=366)
        first, last = sorted(min(max(day, earliest), latest) for day in (first, last))
        first = max(first, last - timedelta(days=LONGEST))
        return Period("range", first, last)
    if key not in PRESETS:
        key = DEFAULT
    number = PRESETS[key][0]
    return Period(key, today - timedelta(days=number - 1), today)
