"""Resources, with their price where the eye is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall.models import Price, Resource
from paywall.vocabulary import money

if TYPE_CHECKING:
    from django.http import HttpRequest

    InlineBase = admin.TabularInline[Price, Resource]
    ModelAdminBase = admin.ModelAdmin[Resource]
else:
    InlineBase = admin.TabularInline
    ModelAdminBase = admin.ModelAdmin


class PriceFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """Only new rows are saved: a price is superseded, not edited."""

    def save_existing_objects(self, commit: bool = True) -> list[Any]:
        self.changed_objects: list[Any] = []
        self.deleted_objects: list[Any] = []
        return []


class PriceInline(InlineBase):
    model = Price
    formset = PriceFormSet
    extra = 0
    min_num = 0
    fields = ["amount", "currency", "valid_from", "in_force"]
    readonly_fields = ["in_force"]
    can_delete = False
    verbose_name_plural = _("prices (add one to supersede the one before)")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("in force"), boolean=True)
    def in_force(self, price: Price) -> bool | None:
        if price.pk is None:
            return None
        now = timezone.now()
        if price.valid_from > now:
            return None
        newest = price.resource.current_price(price.currency, now)
        return newest is not None and newest.pk == price.pk


@admin.register(Resource)
class ResourceAdmin(ModelAdminBase):
    list_display = ["title", "slug", "price", "policy", "access", "active"]
    list_filter = ["active", "policy", "access"]
    search_fields = ["title", "slug", "description"]
    date_hierarchy = "created_at"
    inlines = [PriceInline]
    readonly_fields = ["created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["title", "slug", "description", "mime_type", "active"]}),
        (_("Selling"), {"fields": ["policy", "access", "pass_seconds"]}),
        (_("Dates"), {"fields": ["created_at", "updated_at"]}),
    ]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else {"slug": ["title"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Resource]:
        """Each row with its price in force, without a query a row."""
        newest = Price.objects.filter(
            resource=OuterRef("pk"), valid_from__lte=timezone.now()
        ).order_by("-valid_from", "-pk")
        return (
            super()
            .get_queryset(request)
            .annotate(
                price_amount=Subquery(newest.values("amount")[:1]),
                price_currency=Subquery(newest.values("currency")[:1]),
            )
        )

    @admin.display(description=_("price"), ordering="price_amount")
    def price(self, resource: Any) -> str:
        if resource.price_amount is None:
            return gettext("not for sale")
        return f"{money(resource.price_amount)} {resource.price_currency}"
