"""Refunds: asked for on a payment's page or for some payments at once; then to be read."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from paywall import conf, refunds
from paywall.models import Payment, Refund

from .base import ReadOnly, transaction_link

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


class RefundForm(forms.Form):
    """How much of which payments goes back, and why.

    `seen` is what was refunded of them when this page was made: who confirms it later than
    somebody else did changes nothing.
    """

    amount = forms.DecimalField(
        label=_("Amount"), required=False, help_text=_("In the token. Empty: all that is left.")
    )
    reason = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 2}))
    revoke_pass = forms.BooleanField(
        label=_("Revoke the access pass"), required=False, initial=True
    )
    sent_in = forms.CharField(
        label=_("Transaction"),
        required=False,
        help_text=_("If you sent the money yourself: its hash. It is looked up on the chain."),
    )
    seen = forms.JSONField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, payments: list[Payment], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(payments) > 1:
            del self.fields["amount"], self.fields["sent_in"]
        elif not conf.get().treasury_key:
            self.fields["sent_in"].required = True
        self.payments = payments

    def clean_seen(self) -> dict[str, str]:
        seen = self.cleaned_data["seen"]
        good = isinstance(seen, dict) and all(
            str(seen.get(str(payment.pk), "")).isdecimal() for payment in self.payments
        )
        if not good:
            raise forms.ValidationError(_("Open this page again."))
        return dict(seen)

    def clean_amount(self) -> int | None:
        amount: Decimal | None = self.cleaned_data["amount"]
        if amount is None:
            return None
        (payment,) = self.payments
        units = amount.scaleb(payment.taken_offer.decimals)
        if units <= 0 or units != units.to_integral_value():
            raise forms.ValidationError(_("More than zero, in whole units of the token."))
        return int(units)


def ask_for_refunds(
    model_admin: admin.ModelAdmin[Payment], request: HttpRequest, queryset: QuerySet[Payment]
) -> HttpResponse | None:
    """The admin action: a page that asks how much and why; then the refunds."""
    payments = list(queryset.order_by("pk"))
    if "reason" in request.POST:
        form = RefundForm(request.POST, payments=payments)
        if form.is_valid():
            _request_all(request, form)
            return HttpResponseRedirect(request.get_full_path())
    else:
        seen = {str(payment.pk): payment.refunded for payment in payments}
        form = RefundForm(initial={"seen": seen}, payments=payments)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": gettext("Refund"),
        "opts": Payment._meta,
        "form": form,
        "payments": [(payment, _left(payment)) for payment in payments],
        "action": request.POST.get("action", "refund"),
        "checkbox": ACTION_CHECKBOX_NAME,
        "media": model_admin.media,
    }
    return TemplateResponse(request, "paywall/admin/refund.html", context)


def _request_all(request: HttpRequest, form: RefundForm) -> None:
    asked = 0
    for payment in form.payments:
        seen = int(form.cleaned_data["seen"][str(payment.pk)])
        amount = form.cleaned_data.get("amount") or int(payment.amount) - seen
        try:
            refund = refunds.request(
                payment,
                amount,
                form.cleaned_data["reason"],
                by=request.user,
                seen=seen,
                revoke_pass=form.cleaned_data["revoke_pass"],
                sent_in=form.cleaned_data.get("sent_in", ""),
            )
        except refunds.RefundRefused as refused:
            messages.error(request, f"#{payment.pk}: {refused}")
        else:
            asked += 1
            _log(request, refund)
    if asked:
        text = ngettext("%d refund is on its way.", "%d refunds are on their way.", asked)
        messages.success(request, text % asked)


def _log(request: HttpRequest, refund: Refund) -> None:
    """In the admin's own log, on the payment's page."""
    from django.contrib.admin.models import CHANGE, LogEntry

    payment = refund.payment
    LogEntry.objects.log_actions(
        user_id=cast("int", request.user.pk),
        queryset=[payment],
        action_flag=CHANGE,
        change_message=f"Refund #{refund.pk} of {_amount(refund)}: {refund.reason}",
        single_object=True,
    )


def _left(payment: Payment) -> str:
    offer = payment.taken_offer
    left = Decimal(refunds.remaining(payment)).scaleb(-offer.decimals)
    return f"{left.normalize():f} {offer.symbol}"


def _amount(refund: Refund) -> str:
    offer = refund.payment.taken_offer
    return f"{Decimal(refund.amount).scaleb(-offer.decimals).normalize():f} {offer.symbol}"


class RefundInline(ReadOnly, InlineBase):
    model = Refund
    fields = ["created_at", "value", "reason", "by", "state", "tx_hash", "error_detail"]
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
    search_fields = ["=tx_hash", "=payment__payer", "reason"]
    date_hierarchy = "created_at"
    fields = [
        *("payment", "value", "reason", "by", "state", "is_ours_to_send", "transaction"),
        *("error_detail", "created_at", "closed_at"),
    ]
    readonly_fields = ["value", "transaction"]
    actions = ["call_off"]

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

    @admin.display(description=_("amount"))
    def value(self, refund: Refund) -> str:
        return _amount(refund)

    @admin.display(description=_("transaction"))
    def transaction(self, refund: Refund) -> str | SafeString:
        return transaction_link(refund.payment.network, refund.tx_hash)
