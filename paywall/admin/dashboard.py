"""The dashboard's place in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpResponseRedirect
from django.urls import include, path

from paywall.models import Dashboard

from .base import ReadOnly, dashboards

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    DashboardAdminBase = admin.ModelAdmin[Dashboard]
else:
    DashboardAdminBase = admin.ModelAdmin


@admin.register(Dashboard)
class DashboardAdmin(ReadOnly, DashboardAdminBase):
    """Listed among the models; what opens is the dashboard."""

    def get_urls(self) -> list[Any]:
        return [
            path("list/", self.changelist_view, name="paywall_dashboard_changelist"),
            path("", include("paywall.dashboard.urls")),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return HttpResponseRedirect(dashboards(self, "index"))
