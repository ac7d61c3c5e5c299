"""Balances and their entries: to be read, and the rest of one to be refunded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import staff_log
from paywall.dashboard.forms import ReasonForm, tell
from paywall.models import Balance, BalanceEntry
from paywall.money import money
from paywall.settlement import refunds

from .base import FirstPages, ReadOnly, action_page
from .refunds import PERMISSION

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    BalanceAdminBase = admin.ModelAdmin[Balance]
    EntryAdminBase = admin.ModelAdmin[BalanceEntry]
else:
    BalanceAdminBase = EntryAdminBase = admin.ModelAdmin


class AskedBack(admin.SimpleListFilter):
    """Whose holders wait for their money."""

    title = _("asked back")
    parameter_name = "asked_back"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Balance]) -> QuerySet[Balance]:
        return queryset.filter(asked_back_at__isnull=False) if self.value() else queryset


@admin.register(Balance)
class BalanceAdmin(ReadOnly, BalanceAdminBase):
    """What buyers have paid ahead. It is owed to them: in pages, or back."""

    list_display = ["id", "whose", "value", "changed_at", "asked_back_at", "entries_of"]
    list_filter = [AskedBack]
    list_select_related = ["user"]
    ordering = ["-pk"]
    show_full_result_count = False
    paginator = FirstPages
    actions = ["refund_rest"]
    fields = ["whose", "value", "created_at", "changed_at", "asked_back_at", "entries_of"]
    readonly_fields = ["whose", "value", "entries_of"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["=id", f"=user__{get_user_model().USERNAME_FIELD}"]

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    @admin.display(description=_("holder"))
    def whose(self, balance: Balance) -> str:
        return str(balance.user) if balance.user else gettext("a browser")

    @admin.display(description=_("amount"), ordering="units")
    def value(self, balance: Balance) -> str:
        return balance.worth

    @admin.display(description=_("entries"))
    def entries_of(self, balance: Balance) -> SafeString:
        url = reverse("admin:paywall_balanceentry_changelist")
        told = gettext("what became of it")
        return format_html('<a href="{}?balance__id__exact={}">{}</a>', url, balance.pk, told)

    @admin.action(description=_("Refund what is left…"), permissions=["refund"])
    def refund_rest(self, request: HttpRequest, queryset: QuerySet[Balance]) -> HttpResponse | None:
        chosen = list(queryset.select_related("user").order_by("pk"))
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            self._refund(request, chosen, form.cleaned_data["reason"])
            return HttpResponseRedirect(request.get_full_path())
        context = {
            **action_page(self, request, form),
            "title": gettext("Refund what is left"),
            "balances": [(one, self.whose(one), self.value(one)) for one in chosen],
        }
        return TemplateResponse(request, "paywall/admin/refund_rest.html", context)

    def _refund(self, request: HttpRequest, chosen: list[Balance], reason: str) -> None:
        for balance in chosen:
            asked, left = refunds.request_rest(balance, reason, by=request.user)
            troubles = []
            if left:
                told = gettext(
                    "#%(id)d: %(left)s cannot go back by itself: its payments are not final yet, "
                    "or their rail refunds nothing. Pay it back by hand."
                )
                left_of = f"{money(left)} {balance.currency}"
                troubles.append(told % {"id": balance.pk, "left": left_of})
            tell(request, asked, troubles)
            for refund in asked:
                message = f"Refund #{refund.pk} of what is left: {reason}"
                staff_log.write(request.user, balance, message)
                staff_log.write(request.user, refund.payment, message)


@admin.register(BalanceEntry)
class BalanceEntryAdmin(ReadOnly, EntryAdminBase):
    """Each change of a balance: by what, and on what it was spent."""

    list_display = ["id", "created_at", "balance_link", "kind", "value", "state", "on", "payment"]
    list_filter = ["kind", "state"]
    list_select_related = ["balance", "resource", "payment"]
    ordering = ["-pk"]
    show_full_result_count = False
    paginator = FirstPages
    fields = [
        *("balance_link", "kind", "value", "state", "resource", "url", "payment", "refund"),
        *("created_at", "ended_at"),
    ]
    readonly_fields = ["balance_link", "value"]

    @admin.display(description=_("balance"))
    def balance_link(self, entry: BalanceEntry) -> SafeString:
        url = reverse("admin:paywall_balance_change", args=[entry.balance_id])
        return format_html('<a href="{}">#{}</a>', url, entry.balance_id)

    @admin.display(description=_("amount"))
    def value(self, entry: BalanceEntry) -> str:
        return f"{money(entry.amount)} {entry.balance.currency}"

    @admin.display(description=_("spent on"))
    def on(self, entry: BalanceEntry) -> Any:
        return entry.resource or "–"
