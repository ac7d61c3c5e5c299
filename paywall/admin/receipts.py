"""Receipts, to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from paywall.models import Receipt
from paywall.mounts import path_of

from .base import ReadOnly, dashboards, reference_link

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    ModelAdminBase = admin.ModelAdmin[Receipt]
else:
    ModelAdminBase = admin.ModelAdmin


@admin.register(Receipt)
class ReceiptAdmin(ReadOnly, ModelAdminBase):
    fields = ["number", "issued_at", "payment", "state", "transaction", "sold", "public_page"]
    readonly_fields = ["state", "transaction", "public_page"]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """There is one list of receipts: the dashboard's."""
        to = dashboards(self, "receipts")
        query = request.GET.get("q", "")
        return HttpResponseRedirect(f"{to}?{urlencode({'q': query})}" if query else to)

    @admin.display(description=_("state"))
    def state(self, receipt: Receipt) -> str:
        return str(receipt.payment.get_state_display())

    @admin.display(description=_("transaction"))
    def transaction(self, receipt: Receipt) -> Any:
        payment = receipt.payment
        return reference_link(payment.rail, payment.network, payment.reference)

    @admin.display(description=_("as the buyer sees it"))
    def public_page(self, receipt: Receipt) -> str | SafeString:
        url = path_of("paywall:receipt", receipt.public_id)
        if not url:
            return "–"
        return format_html('<a href="{}">{}</a>', url, url)
