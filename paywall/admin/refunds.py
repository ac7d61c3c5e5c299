"""Refunds: asked for on a payment's page or for some payments at once; then to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import staff_log
from paywall.dashboard.forms import ReasonForm, RefundForm, in_token, tell
from paywall.models import Payment, Refund
from paywall.settlement import refunds

from .base import ReadOnly, action_page, reference_link

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    RefundAdminBase = admin.ModelAdmin[Refund]
    InlineBase = admin.TabularInline[Refund, Payment]
else:
    RefundAdminBase = admin.ModelAdmin
    InlineBase = admin.TabularInline

PERMISSION = "paywall.refund_payment"


def ask_for_refunds(
    model_admin: admin.ModelAdmin[Payment], request: HttpRequest, queryset: QuerySet[Payment]
) -> HttpResponse | None:
    """The admin action: a page that asks how much and why; then the refunds."""
    payments = list(queryset.order_by("pk"))
    if "reason" in request.POST:
        form = RefundForm(request.POST, payments=payments)
        if form.is_valid():
            tell(request, *form.request_all(request.user))
            return HttpResponseRedirect(request.get_full_path())
    else:
        form = RefundForm(payments=payments)
    context = {
        **action_page(model_admin, request, form),
        "title": gettext("Refund"),
        "payments": [(payment, _left(payment)) for payment in payments],
    }
    return TemplateResponse(request, "paywall/admin/refund.html", context)


def _left(payment: Payment) -> str:
    return in_token(refunds.remaining(payment), payment.taken_offer)


def _amount(refund: Refund) -> str:
    return in_token(int(refund.amount), refund.payment.taken_offer)


class RefundInline(ReadOnly, InlineBase):
    model = Refund
    fields = ["created_at", "value", "reason", "by", "state", "reference", "error_detail"]
    readonly_fields = ["value"]
    extra = 0

    @admin.display(description=_("amount"))
    def value(self, refund: Refund) -> str:
        return _amount(refund)


@admin.register(Refund)
class RefundAdmin(ReadOnly, RefundAdminBase):
    list_display = ["id", "created_at", "payment", "value", "state", "by", "transaction"]
    list_filter = ["state", "is_ours_to_send"]
    list_select_related = ["payment", "by"]
    search_fields = ["=reference", "=payment__payer", "reason"]
    date_hierarchy = "created_at"
    fields = [
        *("payment", "value", "reason", "by", "state", "is_ours_to_send", "transaction"),
        *("sender", "revoked_pass", "error_detail", "created_at", "closed_at"),
    ]
    readonly_fields = ["value", "transaction"]
    actions = ["call_off", "close"]

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    @admin.action(description=_("Call off, if nothing was sent yet"), permissions=["refund"])
    def call_off(self, request: HttpRequest, queryset: QuerySet[Refund]) -> None:
        for refund in queryset:
            try:
                refunds.call_off(refund)
            except refunds.RefundRefused as refused:
                messages.error(request, f"#{refund.pk}: {refused}")
            else:
                messages.success(request, gettext("Refund #%d is called off.") % refund.pk)

    @admin.action(
        description=_("Close what is unclear: it did not go out…"), permissions=["refund"]
    )
    def close(self, request: HttpRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        chosen = list(queryset.select_related("payment").order_by("pk"))
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            for refund in chosen:
                reason = form.cleaned_data["reason"]
                try:
                    refunds.close(refund, reason)
                except refunds.RefundRefused as refused:
                    messages.error(request, f"#{refund.pk}: {refused}")
                else:
                    staff_log.write(request.user, refund, f"Closed: {reason}")
                    messages.success(request, gettext("Refund #%d is closed.") % refund.pk)
            return HttpResponseRedirect(request.get_full_path())
        context = {
            **action_page(self, request, form),
            "title": gettext("Close refunds that are unclear"),
            "refunds": [(r, _amount(r), self.transaction(r)) for r in chosen],
        }
        return TemplateResponse(request, "paywall/admin/refund_close.html", context)

    @admin.display(description=_("amount"))
    def value(self, refund: Refund) -> str:
        return _amount(refund)

    @admin.display(description=_("transaction"))
    def transaction(self, refund: Refund) -> str | SafeString:
        payment = refund.payment
        return reference_link(payment.rail, payment.network, refund.reference)
