"""The dashboard's first page: figures for people who sell, and how the engine is doing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from paywall import conf, durable
from paywall.catalog import declarations
from paywall.models import (
    Account,
    Exposure,
    FacilitatorHealth,
    Payment,
    Resource,
    RollUp,
    Wallet,
)
from paywall.models.exposure import in_currency
from paywall.models.payments import State
from paywall.rails import registry
from paywall.reports import doctor, losses, status

from . import figures, periods, visitors
from .shell import admin_url, page, staff_only, url, wants_fragment

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


MOST_OPEN = 5_000


@require_safe
@staff_only("paywall.view_dashboard")
def index(request: HttpRequest) -> HttpResponseBase:
    """Figures of a period beside the one before; for a site that sold nothing yet, what to do."""
    newest = figures.newest_change()
    if wants_fragment(request) and request.GET.get("seen") == newest:
        return HttpResponse(status=204)
    period = periods.read(request.GET)
    found = figures.of(period, request.GET.get("currency", ""))
    if found.is_empty and not _has_payments():
        greeting = {"steps": _steps(), "title": _("Welcome")}
        return page(request, "welcome.html", greeting, fragment=wants_fragment(request))
    query = {"period": period.key, "currency": found.currency}
    if period.key == "range":
        query |= {"from": period.first.isoformat(), "to": period.last.isoformat()}
    receipts = urlencode({"since": period.first.isoformat(), "until": period.last.isoformat()})
    context: dict[str, Any] = {
        "title": _("Dashboard"),
        "figures": found,
        "period": period,
        "presets": [(key, title) for key, (_days, title) in periods.PRESETS.items()],
        "charts": _charts(found),
        "engine": look_at_engine(),
        "sandbox": conf.get().sandbox,
        "is_idle": not status.has_worked_lately(),
        "needs": losses.unseen(),
        "may_acknowledge": request.user.has_perm("paywall.add_acknowledgement"),
        "seen_url": url(request, "seen"),
        "doctor": doctor.last(),
        "doctor_url": url(request, "doctor"),
        "live_url": url(request, "live"),
        "visitors_url": url(request, "visitors"),
        "is_monitored": visitors.is_monitored(),
        "takes_test_money": _takes_test_money(),
        "live": f"{request.path}?{urlencode({**query, 'seen': newest})}",
        "receipts_url": f"{url(request, 'receipts')}?{receipts}",
        "all_receipts_url": url(request, "receipts"),
        "exports_url": url(request, "exports"),
        "zone": conf.get().owners_zone(),
    }
    return page(request, "index.html", context, fragment=wants_fragment(request))


@require_POST
@staff_only("paywall.add_acknowledgement")
def seen(request: HttpRequest) -> HttpResponseBase:
    """Somebody has seen the losses that are told of at the top: they are no news any more."""
    losses.acknowledge(request.user)
    return HttpResponseRedirect(url(request, "index"))


def _takes_test_money() -> bool:
    open_ = Account.objects.using(durable.alias()).open()
    return bool(open_) and all(registry.network(one.network).testnet for one in open_)


def _charts(found: figures.Figures) -> dict[str, Any]:
    """What dashboard.js draws. Numbers go as numbers: they are drawn, not reckoned with."""

    def bars(shares: list[figures.Share], by: str = "revenue") -> dict[str, Any]:
        values = [share.sales if by == "sales" else float(share.revenue or 0) for share in shares]
        return {"kind": "bar", "labels": [share.label for share in shares], "values": values}

    return {
        "revenue": {
            "kind": "line",
            "labels": [point.label for point in found.points],
            "values": [float(point.revenue) for point in found.points],
            "unit": found.currency,
        },
        "resources": {**bars(found.resources), "unit": found.currency},
        "networks": {**bars(found.networks), "unit": found.currency},
        "policies": {**bars(found.policies), "unit": found.currency},
        "failures": bars(found.failures, "sales"),
    }


def _has_payments() -> bool:
    return Payment.objects.using(durable.alias()).exists()


@dataclass(frozen=True, slots=True)
class Owed:
    """What was delivered and is not settled, beside its limit."""

    currency: str
    amount: Decimal
    limit: Decimal

    @property
    def percent(self) -> int:
        return min(100, int(self.amount * 100 / self.limit)) if self.limit else 0


@dataclass(frozen=True, slots=True)
class EngineRoom:
    """How the engine is doing."""

    is_keeping_up: bool
    oldest_unsettled: timedelta | None
    exposure: list[Owed]
    wallets: list[Wallet]
    failing: list[FacilitatorHealth]
    open_refunds: int
    on_balances: list[tuple[str, Decimal]]
    """What readers have paid ahead and not spent, by currency."""
    balances_url: str | None


def look_at_engine() -> EngineRoom:
    using = durable.alias()
    at = _oldest_unsettled()
    limit = conf.get().exposure_total
    exposures = Exposure.objects.using(using).filter(scope__startswith="all ").order_by("scope")
    return EngineRoom(
        is_keeping_up=status.is_keeping_up(),
        oldest_unsettled=max(timezone.now() - at, timedelta()) if at else None,
        exposure=[Owed(e.scope.removeprefix("all "), e.amount, limit) for e in exposures],
        wallets=list(Wallet.objects.using(using).order_by("pk")),
        failing=list(FacilitatorHealth.objects.using(using).filter(failures__gt=0)),
        open_refunds=status.open_refunds(),
        on_balances=_on_balances(),
        balances_url=admin_url("paywall_balance_changelist"),
    )


def _on_balances() -> list[tuple[str, Decimal]]:
    state = RollUp.objects.using(durable.alias()).first()
    held = state.on_balances if state is not None else {}
    return [(currency, in_currency(units)) for currency, units in sorted(held.items())]


def _oldest_unsettled() -> datetime | None:
    """Of the first thousands. Asked for by account, and without MIN, so that databases take the
    index of what is open rather than walk through all that ever was."""
    using = durable.alias()
    accounts = list(Account.objects.using(using).values_list("pk", flat=True))
    unsettled = (
        Payment.objects.using(using)
        .open()
        .filter(account__in=accounts, state__in=[State.CLAIMED, State.SETTLING])
    )
    moments = unsettled.order_by().values_list("created_at", flat=True)[:MOST_OPEN]
    return min(moments, default=None)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a new owner does, and whether it is done."""

    title: Any
    text: Any
    done: bool
    url: str | None = None


def _steps() -> list[Step]:
    """From an empty site to the first sale."""
    using, settings = durable.alias(), conf.get()
    networks = {account.network for account in Account.objects.using(using).open()}
    resources = Resource.objects.using(using).filter(active=True)
    return [
        Step(
            _("Say where your money goes"),
            _("Choose a coin and paste your wallet's address."),
            bool(networks),
            admin_url("paywall_account_add"),
        ),
        Step(
            _("Put a price on something"),
            _("On a view in code, on an object, or on a path of your site."),
            resources.filter(prices__isnull=False).exists(),
            admin_url("paywall_resource_add"),
        ),
        Step(
            _("Sell it"),
            _("With @payment_required on a view, or a path rule and PaywallMiddleware."),
            bool(declarations.declared())
            or resources.exclude(path="").exists()
            or resources.filter(content_type__isnull=False).exists(),
            admin_url("paywall_resource_tester"),
        ),
        Step(
            _("Name a facilitator"),
            _("PAYWALL['FACILITATOR_URL'], or a key of your own that pays for gas."),
            bool(settings.remotes()),
        ),
        Step(
            _("Name a node for each network"),
            _("PAYWALL['RPC_URLS']: without one, payments are taken and never confirmed."),
            bool(networks) and all(settings.rpc_nodes(network) for network in networks),
        ),
        Step(
            _("Run the worker"),
            _("Celery with its beat, or manage.py paywall_run: it settles, confirms and adds up."),
            status.has_worked_lately(),
        ),
    ]
