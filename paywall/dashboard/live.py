"""From the test network to the main one: what changes, what is ready, the switch, and a first real
payment of a cent to oneself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from paywall import conf, durable
from paywall.catalog import sample, switching
from paywall.findings import Finding, Grade
from paywall.models import Payment, Price, Refund
from paywall.mounts import path_of
from paywall.rails import registry
from paywall.reports import doctor, status

from .shell import admin_url, page, staff_only, url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

MAY_SWITCH = ("paywall.change_account", "paywall.add_price")

SHOWN = 50
"""Prices on the page: who has more looks at them in the admin."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One thing that has to be so."""

    title: Any
    done: bool
    todo: Any = ""
    url: str | None = None


@require_http_methods(["GET", "HEAD", "POST"])
@staff_only("paywall.view_dashboard")
def index(request: HttpRequest) -> HttpResponseBase:
    """A POST switches, if all that has to be ready is."""
    may = all(request.user.has_perm(name) for name in MAY_SWITCH)
    if request.method == "POST":
        if not may:
            raise PermissionDenied
        _switch(request, to_main=request.POST.get("to") == "main")
        return HttpResponseRedirect(request.path)
    found = switching.accounts()
    examined = _examined(found) if request.GET.get("look") else None
    ticks = list(_ticks(request, found, examined))
    context = {
        "title": _("Sell for real money"),
        "accounts": found,
        "examined": examined,
        "ticks": ticks,
        "is_ready": all(tick.done for tick in ticks),
        "prices": _prices(),
        "first": _first(request, found),
        "may_switch": may,
        "dashboard_url": url(request, "index"),
    }
    return page(request, "live.html", context)


def _switch(request: HttpRequest, *, to_main: bool) -> None:
    if to_main:
        found = switching.accounts()
        missing = [tick for tick in _ticks(request, found, _examined(found)) if not tick.done]
        if missing:
            told = gettext("Not yet: %s") % "; ".join(str(tick.title) for tick in missing)
            messages.error(request, told)
            return
    now = switching.switch(to_main=to_main, by=request.user)
    if to_main and not now.is_main:
        messages.warning(request, gettext("A second person has to approve the accounts first."))
        return
    for currency in {account.currency for account in now.main if account.enabled}:
        sample.offer(currency)
    told = gettext("Real money is taken now.") if to_main else gettext("Test money is taken now.")
    messages.success(request, told)


def _examined(found: switching.Accounts) -> list[Finding]:
    """What their rails say of the accounts of main networks. Asks the network."""
    return list(doctor.ask_rails(found.main))


def _ticks(
    request: HttpRequest, found: switching.Accounts, examined: list[Finding] | None
) -> Iterator[Tick]:
    settings = conf.get()
    may_add = request.user.has_perm("paywall.add_account")
    add_account = admin_url("paywall_account_add") if may_add else None
    yield Tick(
        _("An account on a main network"),
        bool(found.main),
        _("Add the wallet that real money goes to, or cards with a live key."),
        add_account,
    )
    priced = _currencies()
    paid = {account.currency for account in found.main}
    yield Tick(
        _("Every currency that you price in has one"),
        bool(found.main) and priced <= paid,
        _("Missing: %s") % ", ".join(sorted(priced - paid)),
        add_account,
    )
    networks = {account.network for account in found.main if registry.watches(account)}
    missing = sorted(n for n in networks if not settings.rpc_nodes(n))
    yield Tick(
        _("A node for each of their networks"),
        not missing,
        _("Set PAYWALL['RPC_URLS'] for %s: without one nothing is ever confirmed.")
        % ", ".join(missing),
    )
    yield Tick(
        _("Sandbox and DEBUG are off"),
        not settings.sandbox and not django_settings.DEBUG,
        _("Take SANDBOX out of PAYWALL, and set DEBUG = False."),
    )
    yield Tick(
        _("The worker runs"),
        status.has_worked_lately(),
        _("Celery with its beat, or manage.py paywall_run."),
    )
    if examined is None:
        yield Tick(
            _("Nodes, tokens, gas and who settles have been asked"),
            False,
            _("Look now: it takes some seconds."),
            "?look=1",
        )
        return
    failing = [one for one in examined if one.grade == Grade.FAIL]
    yield Tick(
        _("Nodes, tokens, gas and who settles have been asked"),
        not failing,
        "; ".join(f"{one.what}. {one.todo}" for one in failing),
    )


def _currencies() -> set[str]:
    rows = Price.objects.using(durable.alias()).filter(resource__active=True, amount__isnull=False)
    return set(rows.order_by().values_list("currency", flat=True).distinct())


def _prices() -> list[Price]:
    """The newest price of each resource in each currency, as far as they are shown."""
    rows = Price.objects.using(durable.alias()).filter(
        resource__active=True, amount__isnull=False, audience=None
    )
    newest: dict[tuple[int, str], Price] = {}
    for price in rows.select_related("resource").order_by("-valid_from", "-pk")[: SHOWN * 4]:
        newest.setdefault((price.resource_id, price.currency), price)
    return list(newest.values())[:SHOWN]


def _first(request: HttpRequest, found: switching.Accounts) -> dict[str, Any] | None:
    """The first real payment, a cent to oneself: how far it is."""
    if not found.is_main:
        return None
    main = [account.pk for account in found.main]
    payment = (
        Payment.objects.using(durable.alias())
        .filter(resource__slug=sample.SLUG, account__in=main)
        .select_related("receipt")
        .order_by("-pk")
        .first()
    )
    path = path_of("paywall:sample")
    refunded = payment is not None and payment.refunds.filter(state=Refund.State.CONFIRMED).exists()
    receipt = getattr(payment, "receipt", None)
    return {
        "url": request.build_absolute_uri(path) if path else "",
        "payment": payment,
        "is_paid": payment is not None and payment.settled_at is not None,
        "is_confirmed": payment is not None and payment.state == "confirmed",
        "is_refunded": refunded,
        "receipt_url": url(request, "receipt", receipt.pk) if receipt is not None else None,
    }
