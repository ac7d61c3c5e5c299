"""What the owner was told, and whether it arrived; and what was exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from paywall.models import Alert, AlertMessage, AlertRecipient, Export
from paywall.reports import alerts

from .base import ReadOnly

if TYPE_CHECKING:
    from typing import Any

    from django.http import HttpRequest, HttpResponse

    InlineBase = admin.TabularInline[AlertMessage, Alert]
    AlertAdminBase = admin.ModelAdmin[Alert]
    ExportAdminBase = admin.ModelAdmin[Export]
    RecipientAdminBase = admin.ModelAdmin[AlertRecipient]
else:
    InlineBase = admin.TabularInline
    AlertAdminBase = ExportAdminBase = RecipientAdminBase = admin.ModelAdmin


class MessageInline(ReadOnly, InlineBase):
    model = AlertMessage
    fields = ["channel", "to", "attempts", "sent_at", "given_up_at", "due_at", "trouble"]
    extra = 0


@admin.register(Alert)
class AlertAdmin(ReadOnly, AlertAdminBase):
    list_display = ["created_at", "kind", "title", "payment", "arrived"]
    list_display_links = ["title"]
    list_filter = ["kind", "created_at"]
    search_fields = ["title", "text"]
    fields = ["kind", "title", "text", "data", "payment", "created_at"]
    inlines = [MessageInline]
    actions = ["send_again"]
    change_list_template = "paywall/admin/alert_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        found = super().get_queryset(request)
        return found.select_related("payment").prefetch_related("messages")

    def get_urls(self) -> list[Any]:
        view = require_POST(self.admin_site.admin_view(self.test_view))
        return [path("test/", view, name="paywall_alert_test"), *super().get_urls()]

    def test_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_send_permission(request):
            raise PermissionDenied
        if not alerts.addresses():
            messages.error(
                request,
                gettext("Add a recipient of alerts first, or set PAYWALL['ALERT_WEBHOOK_URL']."),
            )
        else:
            alerts.test()
            messages.success(request, gettext("A test is on its way with the worker's next round."))
        return HttpResponseRedirect(reverse("admin:paywall_alert_changelist"))

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("paywall.send_alert")

    @admin.display(description=_("arrived"), boolean=True)
    def arrived(self, alert: Alert) -> bool | None:
        sent = [message.sent_at is not None for message in alert.messages.all()]
        return all(sent) if sent else None

    @admin.action(description=_("Send again"), permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        rows = AlertMessage.objects.filter(alert__in=queryset)
        number = rows.update(attempts=0, due_at=timezone.now(), sent_at=None, given_up_at=None)
        messages.success(request, gettext("%d messages are sent with the next round.") % number)


@admin.register(AlertRecipient)
class AlertRecipientAdmin(RecipientAdminBase):
    list_display = ["email", "troubles", "summaries"]
    list_editable = ["troubles", "summaries"]


@admin.register(Export)
class ExportAdmin(ReadOnly, ExportAdminBase):
    list_display = ["created_at", "kind", "format", "by", "total", "written", "finished_at"]
    list_filter = ["kind", "format"]
    list_select_related = ["by"]
