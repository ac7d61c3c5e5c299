"""Orders, to be read: what was started on a page, and whether its money came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from paywall.models import Order
from paywall.models.orders import NEEDS_A_LOOK
from paywall.money import shortened

from .base import FirstPages, ReadOnly

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

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
        return queryset.filter(NEEDS_A_LOOK) if self.value() == "needed" else queryset


@admin.register(Order)
class OrderAdmin(ReadOnly, OrderAdminBase):
    list_display = ["created_at", "cost", "state", "needs", "resource", "paid_by", "named"]
    list_filter = [TroubleFilter, "state", "rail", "created_at"]
    list_select_related = ["resource"]
    search_fields = ["=public_id", "=reference", "resource__slug"]
    show_full_result_count = False
    paginator = FirstPages
    fields = [
        *("public_id", "resource", "method", "url", "cost", "account", "rail", "state"),
        *(
            "reference",
            "payment",
            "trouble",
            "not_fitting",
            "user",
            "created_at",
            "expires_at",
            "paid_at",
        ),
    ]
    readonly_fields = ["public_id", "cost", "not_fitting"]

    @admin.display(description=_("public id"))
    def named(self, order: Order) -> str:
        return shortened(order.public_id)

    @admin.display(description=_("payment"), ordering="payment")
    def paid_by(self, order: Order) -> str | SafeString:
        if order.payment_id is None:
            return "–"
        url = reverse("admin:paywall_payment_change", args=[order.payment_id])
        return format_html('<a href="{}">{}</a>', url, order.payment_id)

    @admin.display(description=_("money that does not fit"))
    def not_fitting(self, order: Order) -> str | SafeString:
        """To be refunded, each on its own page."""
        found = [
            (reverse("admin:paywall_payment_change", args=[payment.pk]), payment)
            for payment in order.misfits.all()
        ]
        return format_html_join(", ", '<a href="{}">{}</a>', found) if found else "–"

    @admin.display(description=_("attention"), ordering="trouble")
    def needs(self, order: Order) -> str:
        return Truncator(order.trouble).chars(60)

    @admin.display(description=_("price"), ordering="price")
    def cost(self, order: Order) -> str:
        return order.cost
