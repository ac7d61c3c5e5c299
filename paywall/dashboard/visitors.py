"""Who knocks: requests for what is sold, by kind of visitor, bot and resource."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Sum
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from paywall import conf, durable
from paywall.bots import Purpose
from paywall.models import Resource, VisitorDay, VisitorRule
from paywall.models.exposure import in_currency
from paywall.visitors import Kind
from paywall.visitors.crawl_log import COLUMNS

from . import periods
from .shell import admin_url, page, staff_only, url

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

SHOWN = 50
"""Rows of a table: those with the most requests."""

KINDS = {
    Kind.PAYING: _("programs that pay"),
    Kind.VERIFIED: _("bots that prove to be it"),
    Kind.CLAIMED: _("bots by their word alone"),
    Kind.BROWSER: _("browsers"),
    Kind.UNKNOWN: _("unknown"),
}
PURPOSES = {
    Purpose.SEARCH: _("search"),
    Purpose.TRAIN: _("artificial intelligence"),
    Purpose.USER: _("for a person who asks"),
    Purpose.OTHER: _("something else"),
}


@dataclass(slots=True)
class Row:
    """What was counted of some of them."""

    title: Any
    note: Any = ""
    asked: int = 0
    paid: int = 0
    returned: int = 0
    free: int = 0
    refused: int = 0
    monitored: int = 0
    revenue: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    missed: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, found: dict[str, Any]) -> None:
        for name in COLUMNS:
            setattr(self, name, getattr(self, name) + found[f"{name}_"])
        if found["revenue_"]:
            self.revenue[found["currency"]] += in_currency(found["revenue_"])
        if found["missed_"]:
            self.missed[found["currency"]] += in_currency(found["missed_"])

    @property
    def requests(self) -> int:
        return sum(getattr(self, name) for name in COLUMNS)

    @property
    def unpaid(self) -> int:
        """Those that read without paying."""
        return self.free + self.monitored

    @property
    def revenues(self) -> list[tuple[str, Decimal]]:
        return sorted(self.revenue.items())

    @property
    def misses(self) -> list[tuple[str, Decimal]]:
        return sorted(self.missed.items())


@require_safe
@staff_only("paywall.view_dashboard")
def index(request: HttpRequest) -> HttpResponseBase:
    """Figures of a period, from the sums by day."""
    period = periods.read(request.GET)
    found = _counted(period)
    bots = _rows(found, _bot)
    context: dict[str, Any] = {
        "title": _("Who knocks"),
        "dashboard_url": url(request, "index"),
        "period": period,
        "presets": [(key, title) for key, (_days, title) in periods.PRESETS.items()],
        "total": _rows(found, lambda _one: ("", _("all"), "")),
        "tables": [
            ("kinds", _("Kinds of visitors"), _rows(found, _kind)),
            ("bots", _("Bots"), bots[:SHOWN]),
            ("resources", _("Resources"), _rows(found, _resource_of(found))[:SHOWN]),
        ],
        "readers": sorted(
            (row for row in _rows(found, _reader) if row.unpaid), key=lambda row: -row.unpaid
        )[:SHOWN],
        "is_on": conf.get().crawl_log,
        "is_monitored": is_monitored(),
        "rules_url": admin_url("paywall_visitorrule_changelist")
        if request.user.has_perm("paywall.view_visitorrule")
        else None,
        "sources_url": admin_url("paywall_botsource_changelist")
        if request.user.has_perm("paywall.view_botsource")
        else None,
        "zone": conf.get().owners_zone(),
    }
    return page(request, "visitors.html", context)


def is_monitored() -> bool:
    """Whether everybody is let in somewhere for nothing, to be counted."""
    active = VisitorRule.objects.using(durable.alias()).filter(active=True)
    found = active.filter(action=VisitorRule.Action.MONITOR, who=VisitorRule.Who.EVERYBODY)
    return conf.get().monitor or found.exists()


def _counted(period: periods.Period) -> list[dict[str, Any]]:
    rows = VisitorDay.objects.using(durable.alias()).filter(
        day__gte=period.first, day__lte=period.last
    )
    sums = {f"{name}_": Sum(name) for name in COLUMNS}
    money = {"revenue_": Sum("revenue_units"), "missed_": Sum("missed_units")}
    grouped: Any = rows.order_by().values("kind", "bot", "purpose", "currency", "resource_id")
    return list(grouped.annotate(**sums, **money))


Named = tuple[Any, Any, Any]
"""By what rows are put together, their title, and a note beside it."""


def _rows(found: list[dict[str, Any]], by: Callable[[dict[str, Any]], Named | None]) -> list[Row]:
    rows: dict[Any, Row] = {}
    for one in found:
        named = by(one)
        if named is not None:
            key, title, note = named
            rows.setdefault(key, Row(title, note)).add(one)
    return sorted(rows.values(), key=lambda row: -row.requests)


def _kind(one: dict[str, Any]) -> Named:
    return one["kind"], KINDS.get(one["kind"], one["kind"]), ""


def _bot(one: dict[str, Any]) -> Named | None:
    """A bot that proves to be it is another one than who only says so."""
    if not one["bot"]:
        return None
    return (one["kind"], one["bot"]), one["bot"], _about(one)


def _reader(one: dict[str, Any]) -> Named:
    return _bot(one) or _kind(one)


def _about(one: dict[str, Any]) -> str:
    kind = str(KINDS.get(one["kind"], one["kind"]))
    purpose = PURPOSES.get(one["purpose"])
    return f"{kind}, {purpose}" if purpose else kind


def _resource_of(found: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Named]:
    keys = {one["resource_id"] for one in found}
    rows = Resource.objects.using(durable.alias()).filter(pk__in=keys)
    titles = dict(rows.values_list("pk", "title"))
    return lambda one: (one["resource_id"], titles.get(one["resource_id"], "–"), "")
