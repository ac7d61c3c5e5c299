"""Orders, to be read: what was started on a page, and whether its money came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from paywall.models import Order
from paywall.money import money

from .base import FirstPages, ReadOnly

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    OrderAdminBase = admin.ModelAdmin[Order]
else:
    OrderAdminBase = admin.ModelAdmin


class TroubleFilter(admin.SimpleListFilter):
    """Orders whose money does not fit them."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("needed", _("needs a look"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(trouble="") if self.value() == "needed" else queryset


@admin.register(Order)
class OrderAdmin(ReadOnly, OrderAdminBase):
    list_display = ["public_id", "created_at", "resource", "cost", "state", "payment", "trouble"]
    list_filter = [TroubleFilter, "state", "rail", "created_at"]
    list_select_related = ["resource", "payment"]
    search_fields = ["=public_id", "=reference", "resource__slug"]
    show_full_result_count = False
    paginator = FirstPages
    fields = [
        *("public_id", "resource", "method", "url", "cost", "account", "rail", "state"),
        *("reference", "payment", "trouble", "user", "created_at", "expires_at", "paid_at"),
    ]
    readonly_fields = ["public_id", "cost"]

    @admin.display(description=_("price"), ordering="price")
    def cost(self, order: Order) -> str:
        return f"{money(order.price)} {order.currency}"
