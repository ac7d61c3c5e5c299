"""Metered months and gift links: what readers have for nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from paywall import conf, ledger, staff_log
from paywall.ledger import gifts
from paywall.models import Gift, Meter, Resource

from .base import OnlyUnused

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    MeterAdminBase = admin.ModelAdmin[Meter]
    GiftAdminBase = admin.ModelAdmin[Gift]
else:
    MeterAdminBase = GiftAdminBase = admin.ModelAdmin


@admin.register(Meter)
class MeterAdmin(OnlyUnused, MeterAdminBase):
    list_display = ["name", "uses", "per", "resources_of", "active"]
    search_fields = ["name"]
    fields = ["name", "uses", "per", "most_of_network", "active", "resources_of"]
    readonly_fields = ["resources_of"]

    def save_model(self, request: HttpRequest, obj: Meter, form: Any, change: bool) -> None:
        before = Meter.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        names = ("name", "uses", "per", "most_of_network", "active")
        staff_log.compared(request.user, before, obj, names)

    @admin.display(description=_("resources"))
    def resources_of(self, meter: Meter) -> str | SafeString:
        """Those are chosen in the list of resources, by an action."""
        url = reverse("admin:paywall_resource_changelist")
        if meter.pk is None:
            return format_html('<a href="{}">{}</a>', url, _("choose them in that list"))
        number = Resource.objects.filter(meter=meter).count()
        return format_html('<a href="{}?meter__id__exact={}">{}</a>', url, meter.pk, number)


@admin.register(Gift)
class GiftAdmin(OnlyUnused, GiftAdminBase):
    list_display = ["resource", "created_at", "by", "readers", "expires_at", "revoked_at"]
    list_filter = ["created_at", "revoked_at"]
    list_select_related = ["resource", "by"]
    search_fields = ["resource__title", "resource__slug"]
    autocomplete_fields = ["resource"]
    show_full_result_count = False
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: Gift | None = None) -> Any:
        fields = ["resource", "url", "uses", "expires_at"]
        more = ["link", "readers", "by", "payment", "revoked_at"]
        return fields if obj is None else fields + more

    def get_readonly_fields(self, request: HttpRequest, obj: Gift | None = None) -> Any:
        """What was given away stays as it was given; it can be revoked."""
        return [] if obj is None else self.get_fields(request, obj)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        settings = conf.get()
        expires_at = timezone.now() + timedelta(days=settings.gift_days)
        return {"uses": settings.gift_uses, "expires_at": expires_at, "url": ""}

    def save_model(self, request: HttpRequest, obj: Gift, form: Any, change: bool) -> None:
        obj.by_id = request.user.pk
        obj.url = request.build_absolute_uri(obj.url)
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("link to copy"))
    def link(self, gift: Gift) -> SafeString:
        return format_html("<code>{}</code>", gifts.link(gift))

    @admin.display(description=_("readers"))
    def readers(self, gift: Gift) -> str:
        return f"{gift.used} / {gift.uses}"

    @admin.action(description=_("Revoke: link and readers"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Gift]) -> None:
        chosen = list(queryset.filter(revoked_at__isnull=True))
        for gift in chosen:
            ledger.revoke_gift(gift)
            staff_log.changed(request.user, gift, "Gift link", "open", "revoked")
        text = ngettext("%d gift link was revoked.", "%d gift links were revoked.", len(chosen))
        messages.success(request, text % len(chosen))
