"""The dashboard's numbers, from the sums by day: a fixed number of queries at any volume."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import Any, NamedTuple

from django.db.models import Count, Max, Sum
from django.db.models.functions import TruncHour
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext

from paywall import business_days, conf, durable
from paywall.models import (
    Account,
    BuyerDay,
    FailureDay,
    Payment,
    Resource,
    ResourceDay,
    RollUp,
    SalesDay,
)
from paywall.models.exposure import in_currency
from paywall.models.payments import State
from paywall.rails import registry
from paywall.reports import advice, rollups

from .periods import Period

TOP = 10
WEEKLY_FROM = 120
"""A period of so many days is drawn by weeks."""


@dataclass(frozen=True, slots=True)
class Share:
    """One bar: a resource, a network, a policy or a reason."""

    label: str
    sales: int
    revenue: Decimal | None = None
    key: str = ""
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the time line."""

    label: str
    sales: int
    revenue: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """A number, and what it was in the period before."""

    now: Decimal
    before: Decimal

    @property
    def percent(self) -> Decimal | None:
        """By how much it grew; None where there was nothing before."""
        if not self.before:
            return None
        return ((self.now - self.before) * 100 / self.before).quantize(Decimal("0.1"))


@dataclass(slots=True)
class Totals:
    """A period's sums in one currency."""

    sales: int = 0
    revenue_units: int = 0
    unconfirmed: int = 0
    unconfirmed_units: int = 0
    refunded_units: int = 0
    fee_units: int = 0

    @property
    def revenue(self) -> Decimal:
        return in_currency(self.revenue_units)

    @property
    def average(self) -> Decimal:
        """To four digits that say something."""
        if not self.sales:
            return Decimal(0)
        return Context(prec=4).divide(self.revenue, Decimal(self.sales)).normalize()

    @property
    def unconfirmed_share(self) -> Decimal:
        """Of the revenue, in percent."""
        if not self.revenue_units:
            return Decimal(0)
        share = Decimal(self.unconfirmed_units * 100) / self.revenue_units
        return share.quantize(Decimal("0.1"))


@dataclass(slots=True)
class Figures:
    """What the dashboard shows of one period in one currency."""

    period: Period
    currency: str
    currencies: list[str]
    revenue: Change
    refunded: Change
    fees: Decimal
    """What who took the money kept, where that is known."""
    sales: Change
    buyers: Change
    average: Change
    unconfirmed_share: Decimal
    unconfirmed: Decimal
    failed: Change
    points: list[Point] = field(default_factory=list)
    resources: list[Share] = field(default_factory=list)
    networks: list[Share] = field(default_factory=list)
    policies: list[Share] = field(default_factory=list)
    failures: list[Share] = field(default_factory=list)
    rolled_up: RollUp | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.sales.now or self.sales.before or self.failed.now)


def of(period: Period, currency: str = "") -> Figures:
    """The figures of a period; without a currency, of the one in which most was sold."""
    using = durable.alias()
    both = {"day__gte": period.before.first, "day__lte": period.last}
    rows: list[Any] = list(
        SalesDay.objects.using(using)
        .filter(**both)
        .values("day", "account_id", "policy", "currency")
        .annotate(*map(Sum, _SUMS))
    )
    in_all: Counter[str] = Counter()
    for row in rows:
        in_all[row["currency"]] += row["sales__sum"]
    currencies = [name for name, _ in in_all.most_common()] or [conf.get().currency]
    if currency not in currencies:
        currency = currencies[0]
    rows = [row for row in rows if row["currency"] == currency]
    now = _totals(row for row in rows if row["day"] >= period.first)
    before = _totals(row for row in rows if row["day"] < period.first)
    failed, failures = _failures(period)
    return Figures(
        period=period,
        currency=currency,
        currencies=sorted(currencies),
        revenue=Change(now.revenue, before.revenue),
        refunded=Change(in_currency(now.refunded_units), in_currency(before.refunded_units)),
        fees=in_currency(now.fee_units),
        sales=Change(Decimal(now.sales), Decimal(before.sales)),
        buyers=Change(_buyers(period), _buyers(period.before)),
        average=Change(now.average, before.average),
        unconfirmed_share=now.unconfirmed_share,
        unconfirmed=in_currency(now.unconfirmed_units),
        failed=failed,
        points=_points(period, currency, rows),
        resources=_top(period, currency, now.revenue_units),
        networks=_by_network(period, rows),
        policies=_by_policy(period, rows),
        failures=failures,
        rolled_up=RollUp.objects.using(using).first(),
    )


_SUMS = (
    *("sales", "revenue_units", "unconfirmed", "unconfirmed_units"),
    *("refunded_units", "fee_units"),
)


def _totals(rows: Iterable[Mapping[str, int]]) -> Totals:
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update({name: row[f"{name}__sum"] for name in _SUMS})
    return Totals(**{name: sums[name] for name in _SUMS})


def _buyers(period: Period) -> Decimal:
    """Wallets that bought in the period, each once: those that had not before in it."""
    days = BuyerDay.objects.using(durable.alias()).filter(
        day__gte=period.first, day__lte=period.last, previous_day__lt=period.first
    )
    return Decimal(days.aggregate(n=Sum("buyers"))["n"] or 0)


def _failures(period: Period) -> tuple[Change, list[Share]]:
    days = FailureDay.objects.using(durable.alias())
    rows = list(
        days.filter(day__gte=period.first, day__lte=period.last)
        .values_list("state", "code")
        .annotate(n=Sum("payments"))
        .order_by("-n")
    )
    before = days.filter(day__gte=period.before.first, day__lt=period.first)
    total = sum(number for _, _, number in rows)
    shares = [
        Share(_failure(state, code), number, None, code, _percent(number, total))
        for state, code, number in rows
    ]
    earlier = before.aggregate(n=Sum("payments"))["n"] or 0
    return Change(Decimal(total), Decimal(earlier)), shares[:TOP]


def _failure(state: str, code: str) -> str:
    return f"{State(state).label}: {advice.why(code)}"


def _points(period: Period, currency: str, rows: list[Any]) -> list[Point]:
    """By hours for one day, by days, or by weeks for many."""
    if period.days == 1:
        return _hours(period.first, currency)
    step = 7 if period.days >= WEEKLY_FROM else 1
    steps = [period.first + timedelta(days=n) for n in range(0, period.days, step)]
    sales: Counter[date] = Counter()
    units: Counter[date] = Counter()
    for row in rows:
        if row["day"] >= period.first:
            begun = steps[(row["day"] - period.first).days // step]
            sales[begun] += row["sales__sum"]
            units[begun] += row["revenue_units__sum"]
    return [Point(date_format(at, "j M"), sales[at], in_currency(units[at])) for at in steps]


def _hours(day: date, currency: str) -> list[Point]:
    """A day by its hours, from the payments themselves."""
    start, end = business_days.bounds(day, day)
    zone = conf.get().owners_zone()
    sold = Payment.objects.using(durable.alias()).filter(rollups.SOLD, currency=currency)
    rows = (
        sold.filter(created_at__gte=start, created_at__lt=end)
        .order_by()
        .annotate(hour=TruncHour("created_at", tzinfo=zone))
        .values_list("hour")
        .annotate(n=Count("pk"), units=Sum(rollups.in_units("price")))
    )
    found = {hour: (sales, units) for hour, sales, units in rows}
    points, at = [], start.astimezone(zone)
    while at < end:
        sales, units = found.get(at, (0, 0))
        points.append(Point(date_format(localtime(at, zone), "H:i"), sales, in_currency(units)))
        at = (at + timedelta(hours=1)).astimezone(zone)
    return points


def _top(period: Period, currency: str, total: int) -> list[Share]:
    days = ResourceDay.objects.using(durable.alias())
    rows = list(
        days.filter(day__gte=period.first, day__lte=period.last, currency=currency)
        .order_by()
        .values_list("resource_id")
        .annotate(n=Sum("sales"), units=Sum("revenue_units"))
        .order_by("-units")[:TOP]
    )
    resources = Resource.objects.using(durable.alias())
    titles = dict(resources.filter(pk__in=[pk for pk, _, _ in rows]).values_list("pk", "title"))
    return [
        Share(titles[pk], sales, in_currency(units), str(pk), _percent(units, total))
        for pk, sales, units in rows
    ]


class _Coin(NamedTuple):
    network: str
    symbol: str


def _by_network(period: Period, rows: list[Any]) -> list[Share]:
    accounts = Account.objects.using(durable.alias())
    known = {account.pk: account for account in accounts}
    return _shares(
        period,
        rows,
        lambda row: _Coin(known[row["account_id"]].network, known[row["account_id"]].symbol),
        lambda coin: f"{coin.symbol} · {registry.network(coin.network).title}",
    )


def _by_policy(period: Period, rows: list[Any]) -> list[Share]:
    names = {
        "after": gettext("after the view"),
        "before": gettext("before the view"),
        "background": gettext("in the background"),
    }
    return _shares(period, rows, lambda row: row["policy"], lambda key: names.get(key, key))


def _shares(period: Period, rows: list[Any], key_of: Any, label_of: Any) -> list[Share]:
    sales: dict[Any, int] = defaultdict(int)
    units: dict[Any, int] = defaultdict(int)
    for row in rows:
        if row["day"] >= period.first:
            sales[key_of(row)] += row["sales__sum"]
            units[key_of(row)] += row["revenue_units__sum"]
    total = sum(units.values())
    return [
        Share(label_of(key), sales[key], in_currency(part), str(key), _percent(part, total))
        for key, part in Counter(units).most_common()
    ]


def _percent(part: int, whole: int) -> int:
    return round(part * 100 / whole) if whole else 0


def newest_change() -> str:
    """Changes when the sums did: so that nothing is drawn anew for nothing."""
    at = RollUp.objects.using(durable.alias()).aggregate(at=Max("rolled_up_at"))["at"]
    return at.isoformat() if at else ""
