"""Audiences, and how much of their free quotas is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from paywall import journal
from paywall.models import Audience, FreeUse

from .base import ReadOnly

if TYPE_CHECKING:
    from django.http import HttpRequest

    AudienceAdminBase = admin.ModelAdmin[Audience]
    FreeUseAdminBase = admin.ModelAdmin[FreeUse]
else:
    AudienceAdminBase = FreeUseAdminBase = admin.ModelAdmin


@admin.register(Audience)
class AudienceAdmin(AudienceAdminBase):
    list_display = ["name", "kind", "group", "active"]
    list_filter = ["kind", "active"]
    list_select_related = ["group"]
    search_fields = ["name"]

    def save_model(self, request: HttpRequest, obj: Audience, form: Any, change: bool) -> None:
        before = Audience.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        names = ("kind", "group", "coupon", "hook", "active")
        journal.compared(request.user, before, obj, names)


@admin.register(FreeUse)
class FreeUseAdmin(ReadOnly, FreeUseAdminBase):
    """How much of which free quota is used up."""

    list_display = ["price", "resource", "holder", "period", "used", "of"]
    list_select_related = ["price__resource", "price__audience"]
    search_fields = ["=holder", "price__resource__slug"]
    show_full_result_count = False

    @admin.display(description=_("resource"))
    def resource(self, use: FreeUse) -> str:
        return str(use.price.resource)

    @admin.display(description=_("of"))
    def of(self, use: FreeUse) -> int | None:
        return use.price.free_uses
