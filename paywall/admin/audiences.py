"""Audiences, and how much of their free quotas is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _

from paywall import staff_log
from paywall.models import Audience, FreeUse, Price

from .base import OnlyUnused, ReadOnly

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    AudienceAdminBase = admin.ModelAdmin[Audience]
    FreeUseAdminBase = admin.ModelAdmin[FreeUse]
else:
    AudienceAdminBase = FreeUseAdminBase = admin.ModelAdmin


@admin.register(Audience)
class AudienceAdmin(OnlyUnused, AudienceAdminBase):
    list_display = ["name", "kind", "group", "which_bots", "uses", "ends_at", "active"]
    list_filter = ["kind", "active"]
    list_select_related = ["group"]
    search_fields = ["name"]
    fields = [
        *("name", "kind", "group", "coupon", "coupon_uses", "used", "link", "hook"),
        *("bots", "bot", "ends_at", "active"),
    ]
    readonly_fields = ["used", "link"]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        # For `link`, which is given no request.
        self.origin = f"{request.scheme}://{request.get_host()}"
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Audience, form: Any, change: bool) -> None:
        before = Audience.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        of_bots = ("bots", "bot")
        names = ("kind", "group", "coupon", "coupon_uses", "hook", *of_bots, "ends_at", "active")
        staff_log.compared(request.user, before, obj, names)

    @admin.display(description=_("used"))
    def used(self, audience: Audience) -> int:
        return audience.coupon_used

    @admin.display(description=_("bots"))
    def which_bots(self, audience: Audience) -> str:
        return audience.bot or audience.get_bots_display() or "–"

    @admin.display(description=_("uses"))
    def uses(self, audience: Audience) -> str:
        if audience.kind != Audience.Kind.COUPON:
            return "–"
        return f"{audience.coupon_used} / {audience.coupon_uses or '∞'}"

    @admin.display(description=_("links to copy"))
    def link(self, audience: Audience) -> str | SafeString:
        """Where the coupon can be used: the paths with a price for it, one by one."""
        if audience.pk is None or audience.kind != Audience.Kind.COUPON:
            return "–"
        coupon = urlencode({"coupon": audience.coupon})
        prices = audience.prices.select_related("resource").order_by("resource__title")
        paths = dict.fromkeys(price.resource.path for price in prices[:50])
        plain = [path for path in paths if path and "*" not in path]
        urls = [f"{self.origin}{path}?{coupon}" for path in plain] or [f"…?{coupon}"]
        return format_html_join(mark_safe("<br>"), "<code>{}</code>", ((url,) for url in urls))


@admin.register(FreeUse)
class FreeUseAdmin(ReadOnly, FreeUseAdminBase):
    """How much of which free quota is used up."""

    list_display = ["resource", "audience", "holder", "period", "used", "of"]
    list_select_related = ["resource", "audience"]
    search_fields = ["=holder", "resource__slug"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[FreeUse]:
        quotas = Price.objects.filter(
            resource=OuterRef("resource"), audience=OuterRef("audience"), free_uses__isnull=False
        ).order_by("-valid_from", "-pk")
        return (
            super().get_queryset(request).annotate(quota=Subquery(quotas.values("free_uses")[:1]))
        )

    @admin.display(description=_("of"))
    def of(self, use: Any) -> int | None:
        quota: int | None = use.quota
        return quota
