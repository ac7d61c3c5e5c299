"""The books, to be taken along: receipts, and totals by month, as CSV or XLSX.

A download is a row, which says who took what, and how far it is.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from django.db import DatabaseError
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncMonth
from django.http import Http404, HttpResponseRedirect, QueryDict, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from paywall import business_days, conf, durable
from paywall.exceptions import LedgerUnavailable
from paywall.models import Account, Export, Receipt, Refund, SalesDay, Transaction
from paywall.models.exposure import in_currency
from paywall.models.receipts import invoice_number
from paywall.rails import registry

from .search import FilterForm, find
from .shell import page, staff_only, url, wants_fragment
from .spreadsheets import Row, as_csv, as_xlsx

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

log = logging.getLogger(__name__)

PERMISSION = "paywall.export_receipt"
NOTED_EVERY = 5_000
MONTHS = 24
"""So many can be chosen by name; any other range in the list of receipts."""
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_WRITERS = {"csv": as_csv, "xlsx": as_xlsx}


@require_http_methods(["GET", "HEAD", "POST"])
@staff_only(PERMISSION)
def index(request: HttpRequest) -> HttpResponseBase:
    """Ask for an export; those of late."""
    form = FilterForm(request.GET)
    query = request.GET.urlencode() if form.is_valid() else ""
    if request.method == "POST":
        kind, format_ = request.POST.get("kind", ""), request.POST.get("format", "")
        if kind not in Export.Kind.values or format_ not in Export.Format.values:
            raise Http404
        if month := _month(request.POST.get("month", "")):
            query = urlencode({"since": month.first, "until": month.last})
        export = Export.objects.using(durable.alias()).create(
            kind=kind,
            format=format_,
            query=query if kind == "receipts" else "",
            by_id=request.user.pk,
            total=_count(kind, query),
        )
        return HttpResponseRedirect(url(request, "export", export.pk))
    exports = Export.objects.using(durable.alias()).select_related("by")[:20]
    context = {
        "title": _("Exports"),
        "form": form,
        "query": query,
        "is_filtered": form.is_used or bool(request.GET.get("q")),
        "months": [_month_of(business_days.today(), back) for back in range(1, MONTHS + 1)],
        "exports": [(export, url(request, "export", export.pk)) for export in exports],
        "formats": Export.Format.choices,
        "receipts_url": url(request, "receipts"),
        "dashboard_url": url(request, "index"),
    }
    return page(request, "exports.html", context)


@require_safe
@staff_only(PERMISSION)
def progress(request: HttpRequest, pk: int) -> HttpResponseBase:
    """How far an export is; the page that starts it."""
    export = _get(request, pk)
    done = 100 if export.finished_at else export.written * 100 // max(1, export.total)
    context = {
        "title": str(export),
        "export": export,
        "percent": min(100, done),
        "is_over": export.finished_at is not None or export.broken_off_at is not None,
        "file_url": url(request, "download", pk),
        "live": url(request, "export", pk),
        "exports_url": url(request, "exports"),
        "dashboard_url": url(request, "index"),
    }
    return page(request, "export.html", context, fragment=wants_fragment(request))


@require_safe
@staff_only(PERMISSION)
def download(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The file: CSV is written while it is sent, and its last line says how many rows it has; XLSX
    is sent when it is whole. What breaks off is a failed download, for the browser too."""
    export = _get(request, pk)
    header, rows = _TABLES[export.kind](export.query)
    write = _WRITERS[export.format]
    name = f"paywall-{export.kind}-{timezone.localtime(export.created_at):%Y-%m-%d}"
    return StreamingHttpResponse(
        write([str(title) for title in header], _counted(export, rows)),
        content_type=_TYPES[export.format],
        headers={"Content-Disposition": f'attachment; filename="{name}.{export.format}"'},
    )


class Month(NamedTuple):
    """In the owner's time zone."""

    first: date
    last: date

    @property
    def key(self) -> str:
        return f"{self.first:%Y-%m}"


def _month_of(day: date, back: int) -> Month:
    """The month of a day, or so many before it."""
    number = day.year * 12 + day.month - 1 - back
    first = date(number // 12, number % 12 + 1, 1)
    return Month(first, date((number + 1) // 12, (number + 1) % 12 + 1, 1) - timedelta(days=1))


def _month(text: str) -> Month | None:
    """A month as a form says it: "2026-11"."""
    try:
        return _month_of(date.fromisoformat(f"{text}-01"), 0) if text else None
    except ValueError as error:
        raise Http404 from error


def _get(request: HttpRequest, pk: int) -> Export:
    export = Export.objects.using(durable.alias()).filter(pk=pk, by_id=request.user.pk).first()
    if export is None:
        raise Http404("There is no such export of yours.")
    return export


def _counted(export: Export, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, with note taken of how many went out; and of whether all did."""
    _note(export, written=0, started_at=timezone.now(), finished_at=None, broken_off_at=None)
    written = 0
    try:
        for row in rows:
            yield row
            written += 1
            if written % NOTED_EVERY == 0:
                _note(export, written=written)
    except BaseException as error:
        log.warning(
            "export=%s broke off after %d rows: %s", export.pk, written, type(error).__name__
        )
        _note(export, written=written, broken_off_at=timezone.now())
        raise
    _note(export, written=written, finished_at=timezone.now())


def _note(export: Export, **changes: Any) -> None:
    """Over a connection of its own, for this one is reading; and a download does not break off
    because nobody could note how far it is."""
    try:
        _write_note(export.pk, changes)
    except (DatabaseError, LedgerUnavailable) as error:
        log.warning("export=%s: %s could not be noted: %s", export.pk, sorted(changes), error)


@durable.aside
def _write_note(pk: int, changes: dict[str, Any]) -> None:
    Export.objects.using(durable.alias()).filter(pk=pk).update(**changes)


def _count(kind: str, query: str) -> int:
    return _receipts(query).count() if kind == "receipts" else len(_months())


def _receipts(query: str) -> QuerySet[Receipt]:
    form = FilterForm(QueryDict(query))
    return find(form.cleaned_data) if form.is_valid() else Receipt.objects.none()


# ------------------------------------------------------------------------------ Receipts

RECEIPT_COLUMNS = [
    _("Receipt"),
    _("Id"),
    _("Issued"),
    _("Confirmed"),
    _("Title"),
    _("URL"),
    _("Price"),
    _("Currency"),
    _("Amount"),
    _("Token"),
    _("Refunded"),
    _("Network"),
    _("Payer"),
    _("Transaction"),
    _("Block"),
    _("Network fee"),
    _("State"),
    _("Settlement"),
    _("User"),
    _("Fee"),
    _("Net"),
    _("Invoice"),
    _("VAT rate"),
    _("Before VAT"),
    _("VAT"),
    _("Other fields"),
]


class _Row(NamedTuple):
    """What is read of a receipt and its payment."""

    number: int | None
    public_id: str
    issued_at: datetime
    confirmed_at: datetime | None
    sold: dict[str, Any]
    series: str | None
    serial: int | None
    price: Decimal
    currency: str
    authorized: str
    captured: str | None
    payment: int
    decimals: int
    symbol: str
    network: str
    payer: str | None
    reference: str
    position: int | None
    state: str
    policy: str
    user: Any
    fee: Decimal | None
    pk: int


_OF_PAYMENT = (
    *("confirmed_at", "price", "currency", "authorized", "captured", "network", "payer"),
    *("reference", "position", "state", "policy", "fee"),
)
_FIELDS = [
    {
        **{name: f"payment__{name}" for name in _OF_PAYMENT},
        "payment": "payment_id",
        "decimals": "payment__account__decimals",
        "symbol": "payment__account__symbol",
        "user": "payment__user_id",
    }.get(name, name)
    for name in _Row._fields
]


def receipt_table(query: str) -> tuple[list[Any], Iterator[Row]]:
    return RECEIPT_COLUMNS, _receipt_rows(query)


def _receipt_rows(query: str) -> Iterator[Row]:
    zone = conf.get().owners_zone()
    titles: dict[str, str] = {}
    for some in _in_chunks(_receipts(query)):
        fees = _fees_of({one.reference for one in some if one.reference})
        refunds = _refunded_of([one.payment for one in some])
        for one in some:
            amount = one.authorized if one.captured is None else one.captured
            yield [
                one.number,
                one.public_id,
                one.issued_at.astimezone(zone),
                one.confirmed_at and one.confirmed_at.astimezone(zone),
                one.sold["title"],
                one.sold["url"],
                one.price.normalize(),
                one.currency,
                Decimal(amount).scaleb(-one.decimals).normalize(),
                one.symbol,
                Decimal(refunds.get(one.payment, 0)).scaleb(-one.decimals).normalize(),
                titles.setdefault(one.network, registry.network(one.network).title),
                one.payer or "",
                one.reference,
                one.position,
                fees.get(one.reference),
                one.state,
                one.policy,
                one.user,
                one.fee and one.fee.normalize(),
                None if one.fee is None else (one.price - one.fee).normalize(),
                invoice_number(one.series, one.serial),
                *_taxed(one.sold.get("invoice")),
                "; ".join(f"{k}: {v}" for k, v in (one.sold.get("fields") or {}).items()),
            ]


def _taxed(invoice: Mapping[str, str] | None) -> list[Decimal | None]:
    """Rate, net and tax of what is an invoice."""
    return [Decimal(invoice[key]) if invoice else None for key in ("vat_rate", "net", "vat")]


CHUNK = 2_000


def _in_chunks(found: QuerySet[Receipt]) -> Iterator[list[_Row]]:
    """Some rows at a time, each by a query of its own that begins where the last one ended: nothing
    is kept open in the database for as long as a browser takes."""
    rows = found.values_list(*_FIELDS)
    while some := [_Row(*row) for row in rows[:CHUNK]]:
        yield some
        issued_at, pk = some[-1].issued_at, some[-1].pk
        older = Q(issued_at__lt=issued_at) | Q(issued_at=issued_at, pk__lt=pk)
        # Said once more, in the words that an index range understands.
        rows = found.filter(older, issued_at__lte=issued_at).values_list(*_FIELDS)


def _refunded_of(payments: list[int]) -> dict[int, int]:
    """What went back of payments, as far as the chain shows it."""
    refunds = Refund.objects.using(durable.alias()).filter(
        payment__in=payments, state=Refund.State.CONFIRMED
    )
    found: dict[int, int] = defaultdict(int)
    for payment, amount in refunds.values_list("payment_id", "amount"):
        found[payment] += int(amount)
    return found


def _fees_of(hashes: set[str]) -> dict[str, Decimal]:
    """What our own transactions cost for each payment in them, in the chain's coin."""
    sent = Transaction.objects.using(durable.alias()).filter(hash__in=hashes)
    return {
        transaction.hash: (transaction.fee / max(1, len(transaction.carries.all()))).normalize()
        for transaction in sent.prefetch_related("carries")
        if transaction.fee is not None
    }


# --------------------------------------------------------------------------------- Months

MONTH_COLUMNS = [
    _("Month"),
    _("Network"),
    _("Token"),
    _("Currency"),
    _("Paid to"),
    _("Sales"),
    _("Revenue"),
    _("Refunded"),
    _("After refunds"),
    _("Not confirmed yet"),
    _("Network fees (coin, whole network)"),
    _("Fees"),
    _("Net"),
]


def month_table(query: str) -> tuple[list[Any], Iterator[Row]]:
    return MONTH_COLUMNS, iter(_months())


def _months() -> list[Row]:
    using = durable.alias()
    accounts = {account.pk: account for account in Account.objects.using(using)}
    fees = _fees_by_month()
    rows = (
        SalesDay.objects.using(using)
        .order_by()
        .annotate(month=TruncMonth("day"))
        .values_list("month", "account_id", "currency")
        .annotate(
            *(Sum("sales"), Sum("revenue_units"), Sum("refunded_units")),
            *(Sum("unconfirmed_units"), Sum("fee_units")),
        )
        .order_by("month", "account_id", "currency")
    )
    table: list[Row] = []
    for month, account_id, currency, sales, revenue, refunded, unconfirmed, kept in rows:
        account = accounts[account_id]
        table.append(
            [
                f"{month:%Y-%m}",
                registry.network(account.network).title,
                account.symbol,
                currency,
                account.recipient,
                sales,
                _money(revenue),
                _money(refunded),
                _money(revenue - refunded),
                _money(unconfirmed),
                fees.get((month, account.network), Decimal(0)).normalize(),
                _money(kept),
                _money(revenue - refunded - kept),
            ]
        )
    return table


def _fees_by_month() -> dict[tuple[date, str], Decimal]:
    """What the site's own transactions cost, by month and network."""
    zone = conf.get().owners_zone()
    rows = (
        Transaction.objects.using(durable.alias())
        .filter(gas_used__isnull=False, gas_price__isnull=False)
        .order_by()
        .annotate(month=TruncMonth("created_at", tzinfo=zone))
        .values_list("month", "wallet__network", "gas_used", "gas_price")
    )
    found: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for month, network, used, price in rows.iterator(chunk_size=2_000):
        found[month.date(), network] += Decimal((used or 0) * (price or 0)).scaleb(-18)
    return found


def _money(units: int) -> Decimal:
    return in_currency(units).normalize()


_TABLES = {"receipts": receipt_table, "months": month_table}
