"""Receipts, to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from paywall.models import Receipt
from paywall.money import shortened
from paywall.mounts import path_of

from .base import FirstPages, ReadOnly, reference_link

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    ModelAdminBase = admin.ModelAdmin[Receipt]
else:
    ModelAdminBase = admin.ModelAdmin


@admin.register(Receipt)
class ReceiptAdmin(ReadOnly, ModelAdminBase):
    list_display = ["label", "issued_at", "title", "cost", "state", "payer", "transaction"]
    list_filter = ["payment__state", "issued_at", "payment__account"]
    list_select_related = ["payment"]
    search_fields = [
        "=number",
        "=public_id",
        "=payment__reference",
        "=payment__payer",
        "payment__url",
    ]
    search_help_text = _("Number, public id, transaction, wallet or URL")
    show_full_result_count = False
    paginator = FirstPages
    fields = ["number", "issued_at", "payment", "state", "transaction", "sold", "public_page"]
    readonly_fields = ["state", "transaction", "public_page"]

    @admin.display(description=_("receipt"), ordering="number")
    def label(self, receipt: Receipt) -> str:
        return str(receipt)

    @admin.display(description=_("sold"))
    def title(self, receipt: Receipt) -> str:
        return str(receipt.sold.get("title", ""))

    @admin.display(description=_("price"), ordering="payment__price")
    def cost(self, receipt: Receipt) -> str:
        return receipt.payment.cost

    @admin.display(description=_("state"), ordering="payment__state")
    def state(self, receipt: Receipt) -> str:
        return str(receipt.payment.get_state_display())

    @admin.display(description=_("payer"), ordering="payment__payer")
    def payer(self, receipt: Receipt) -> str:
        return shortened(receipt.payment.payer or "–")

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
