"""The admin's index: what an owner does first comes first, the engine room last.

Django lists an app's models by the alphabet, which puts the chain's cursors between audiences and
the dashboard. Here the app is shown as three, wherever `AdminSite.get_app_list` is asked: the
index, the app's own page, the sidebar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest

ROOMS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        _("Paywall"),
        (
            *("Dashboard", "Resource", "Audience", "VisitorRule", "UsageTerms"),
            *("LicenseClient", "Meter", "Gift", "FreeUse", "Account"),
        ),
    ),
    (
        _("Paywall: money"),
        (
            *("Receipt", "Payment", "Refund", "Order", "AccessPass", "LicenseToken"),
            *("Balance", "BalanceEntry", "Dispute", "Alert", "AlertRecipient", "Export"),
        ),
    ),
    (
        _("Paywall: engine room"),
        (
            *("Notice", "Exposure", "FacilitatorHealth", "Wallet", "Transaction", "Cursor"),
            "BotSource",
        ),
    ),
)
"""What each is called, and the models in it by their classes' names, in this order. What a site
registers besides comes into the last one."""


def install(site: Any) -> None:
    """Have a site's index show the app as its rooms."""
    listed: Callable[..., list[dict[str, Any]]] = site.get_app_list

    def get_app_list(request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        apps = listed(request, app_label)
        return [shown for app in apps for shown in _rooms(app)]

    site.get_app_list = get_app_list


def _rooms(app: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if app.get("app_label") != "paywall":
        yield app
        return
    left = {model["object_name"]: model for model in app["models"]}
    *rooms, (last, its) = ROOMS
    for title, names in rooms:
        models = [left.pop(name) for name in names if name in left]
        if models:
            yield {**app, "name": title, "models": models}
    if left:
        models = sorted(left.values(), key=lambda m: (m["object_name"] not in its, m["name"]))
        yield {**app, "name": last, "models": models}


install(admin.site)
