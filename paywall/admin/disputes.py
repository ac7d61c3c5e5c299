"""Disputes, and what Stripe told of them: to be read. They are answered at Stripe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from paywall.dashboard.forms import in_token
from paywall.models import Dispute, Notice

from .base import FirstPages, ReadOnly

if TYPE_CHECKING:
    DisputeAdminBase = admin.ModelAdmin[Dispute]
    NoticeAdminBase = admin.ModelAdmin[Notice]
else:
    DisputeAdminBase = NoticeAdminBase = admin.ModelAdmin


@admin.register(Dispute)
class DisputeAdmin(ReadOnly, DisputeAdminBase):
    """Payments that somebody denies at their bank."""

    list_display = ["reference", "opened_at", "payment", "value", "reason", "state", "closed_at"]
    list_filter = ["state"]
    list_select_related = ["payment"]
    search_fields = ["=reference", "=payment__reference"]
    show_full_result_count = False
    paginator = FirstPages
    fields = [
        *("reference", "payment", "value", "reason", "state", "revoked_pass"),
        *("opened_at", "closed_at"),
    ]
    readonly_fields = ["value"]

    @admin.display(description=_("amount"))
    def value(self, dispute: Dispute) -> str:
        return in_token(int(dispute.amount), dispute.payment.taken_offer)


@admin.register(Notice)
class NoticeAdmin(ReadOnly, NoticeAdminBase):
    """What came by webhook, and whether it is done."""

    list_display = ["identity", "kind", "about", "received_at", "done_at", "trouble"]
    search_fields = ["=identity", "=about"]
    show_full_result_count = False
    paginator = FirstPages
