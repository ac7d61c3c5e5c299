"""Resources, with their price where the eye is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import F, Max, OuterRef, QuerySet, Subquery, Sum
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from paywall import staff_log
from paywall.catalog import pricing
from paywall.models import Price, Resource, ResourceDay
from paywall.models.exposure import in_currency
from paywall.money import money

from . import tester
from .base import OnlyUnused, action_page, of_late
from .forms import InterfaceField, MeterForm, SecondsField
from .prices import PriceChanges, PriceInline

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    ModelAdminBase = admin.ModelAdmin[Resource]
elif apps.is_installed("import_export"):
    from .transfer import ModelAdminBase
else:
    ModelAdminBase = admin.ModelAdmin

MONEY_FIELDS = ("policy", "access", "pass_seconds", "active", "path", "methods", "meter")
"""What of a resource changes who pays what: in the log with before and after."""


def _in_force(resources: list[Resource]) -> QuerySet[Price]:
    """Their prices, everyone's first, and the newest of those."""
    prices = Price.objects.filter(resource__in=resources).in_force(timezone.now())
    in_order = F("audience__name").asc(nulls_first=True)
    return prices.select_related("audience").order_by(in_order, "-valid_from", "-pk")


def _shown(price: Price) -> str:
    """A price, and whom it is for if not for everyone."""
    return f"{price.audience}: {price}" if price.audience else str(price)


class SoldByFilter(admin.SimpleListFilter):
    """How a resource finds its way to buyers."""

    title = _("sold by")
    parameter_name = "sold_by"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("path", _("path rule")), ("object", _("object")), ("code", _("code"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "path":
                return queryset.exclude(path="")
            case "object":
                return queryset.filter(content_type__isnull=False)
            case "code":
                return queryset.filter(path="", content_type__isnull=True)
        return queryset


class ResourceList(ChangeList):
    """The list, with what its rows cost, will cost and earned of late: three queries, whatever it
    shows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        earned: dict[int, list[str]] = {}
        days = of_late().filter(resource__in=rows)
        for pk, currency, units in days.values_list("resource_id", "currency").annotate(
            units=Sum("revenue_units")
        ):
            earned.setdefault(pk, []).append(f"{money(in_currency(units))} {currency}")
        prices: dict[int, list[str]] = {}
        for price in _in_force(rows):
            prices.setdefault(price.resource_id, []).append(_shown(price))
        to_come = Price.objects.filter(resource__in=rows, valid_from__gt=timezone.now())
        for price in to_come.select_related("audience").order_by("valid_from", "pk"):
            at = date_format(timezone.localtime(price.valid_from), "SHORT_DATETIME_FORMAT")
            said = gettext("from %(at)s: %(price)s") % {"at": at, "price": _shown(price)}
            prices.setdefault(price.resource_id, []).append(said)
        may_price = self.model_admin.may_price(request)  # type: ignore[attr-defined]
        for row in rows:
            row.may_price = may_price
            row.prices_shown = "; ".join(prices.get(row.pk, []))
            row.earned = ", ".join(sorted(earned.get(row.pk, [])))
        self.result_list = rows


@admin.register(Resource)
class ResourceAdmin(PriceChanges, OnlyUnused, ModelAdminBase):
    list_display = [
        *("title", "price", "settlement", "opens", "sales", "revenue", "last_sale"),
        *("sold_by", "active"),
    ]
    list_filter = ["active", "policy", "access", SoldByFilter, "meter"]
    search_fields = ["title", "slug", "description", "path"]
    search_help_text = _("Title, slug, teaser or path")
    date_hierarchy = "created_at"
    list_select_related = ["meter"]
    show_full_result_count = False
    readonly_fields = ["created_at", "updated_at", "of_object", "all_prices"]
    change_form_template = "paywall/admin/resource_form.html"
    change_list_template = "paywall/admin/resource_list.html"
    fieldsets = [
        (None, {"fields": ["title", "slug", "description", "active", "listed"]}),
        (
            _("Selling"),
            {
                "fields": [
                    "policy",
                    "access",
                    "pass_seconds",
                    "by_use",
                    "bundle",
                    "meter",
                ]
            },
        ),
        (_("Where"), {"fields": ["path", "methods", "of_object"]}),
        (
            _("Technical details"),
            {
                "fields": ["mime_type", "interface", "payment_header", "created_at", "updated_at"],
                "classes": ["collapse"],
            },
        ),
    ]
    actions = ["set_price", "raise_price", "set_meter", "activate", "deactivate", "duplicate"]

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("tester/", wrap(self.tester_view), name="paywall_resource_tester"),
            path("tester/page/", wrap(self.tester_page), name="paywall_resource_tester_page"),
            path("<int:pk>/price/", wrap(self.price_view), name="paywall_resource_price"),
            *super().get_urls(),
        ]

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        return [] if obj else [PriceInline]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        (_none, first), *others = super().get_fieldsets(request, obj)
        if obj is not None:
            obj.may_price = self.may_price(request)
            first = {**first, "fields": ["all_prices", *first["fields"]]}
        return [(_none, first), *others]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "pass_seconds":
            return SecondsField()
        if db_field.name == "interface":
            kwargs["form_class"] = InterfaceField
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ResourceList

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else {"slug": ["title"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Resource]:
        """Each row with its price in force and its sales, without a query a row."""
        newest = Price.objects.filter(
            resource=OuterRef("pk"), audience=None, valid_from__lte=timezone.now()
        ).order_by("-valid_from", "-pk")
        days = ResourceDay.objects.filter(resource=OuterRef("pk")).order_by().values("resource")
        late = of_late().filter(resource=OuterRef("pk")).values("resource").annotate(n=Sum("sales"))
        return (
            super()
            .get_queryset(request)
            .select_related("content_type")
            .annotate(
                price_amount=Subquery(newest.values("amount")[:1]),
                late_sales=Subquery(late.values("n")[:1]),
                last_sale_at=Subquery(days.annotate(at=Max("last_sale_at")).values("at")[:1]),
            )
        )

    # ------------------------------------------------------------------------- Columns

    @admin.display(description=_("price"), ordering="price_amount")
    def price(self, resource: Any) -> str | SafeString:
        label = getattr(resource, "prices_shown", "") or gettext("not for sale")
        if not getattr(resource, "may_price", True):
            return label
        url = reverse("admin:paywall_resource_price", args=[resource.pk])
        return format_html(
            '<a class="paywall-price" href="{}" data-dialog title="{}">{}</a>',
            url,
            gettext("Change the price"),
            label,
        )

    @admin.display(description=_("settlement"), ordering="policy")
    def settlement(self, resource: Resource) -> str:
        return str(resource.get_policy_display()).partition(":")[0]

    @admin.display(description=_("access"), ordering="access")
    def opens(self, resource: Resource) -> str:
        return str(resource.get_access_display())

    @admin.display(description=_("sales, 30 days"), ordering="late_sales")
    def sales(self, resource: Any) -> int:
        return int(resource.late_sales or 0)

    @admin.display(description=_("revenue, 30 days"))
    def revenue(self, resource: Any) -> str:
        return getattr(resource, "earned", "") or "–"

    @admin.display(description=_("last sale"), ordering="last_sale_at")
    def last_sale(self, resource: Any) -> Any:
        return resource.last_sale_at

    @admin.display(description=_("sold by"))
    def sold_by(self, resource: Resource) -> str:
        if resource.path:
            return f"{resource.methods} {resource.path}".strip()
        if resource.content_type is not None:
            return str(resource.content_type.name)
        return gettext("code")

    @admin.display(description=_("object"))
    def of_object(self, resource: Resource) -> str:
        return str(resource.sold_object) if resource.object_id else "–"

    # -------------------------------------------------------------------------- Changes

    def save_model(self, request: HttpRequest, obj: Resource, form: Any, change: bool) -> None:
        before = Resource.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        staff_log.compared(request.user, before, obj, MONEY_FIELDS)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for price in getattr(formset, "new_objects", []):
            if isinstance(price, Price):
                pricing.note(request.user, price, None)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        resource: Resource = form.instance
        if resource.path and resource.active and resource.current_price() is None:
            messages.warning(
                request,
                gettext("The path rule %s has no price in force: its URLs answer 503 until it has.")
                % resource.path,
            )

    @admin.action(description=_("Activate: sell it"), permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Resource]) -> None:
        self._switch(request, queryset, True)

    @admin.action(description=_("Deactivate: nobody gets in"), permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Resource]) -> None:
        self._switch(request, queryset, False)

    @admin.action(description=_("Choose a metered month…"), permissions=["change"])
    def set_meter(self, request: HttpRequest, queryset: QuerySet[Resource]) -> HttpResponse | None:
        chosen = list(queryset.select_related("meter"))
        form = MeterForm(request.POST if "meter" in request.POST else None)
        if not form.is_valid():
            context = {
                **action_page(self, request, form),
                "title": _("Metered month"),
                "chosen": chosen,
            }
            return TemplateResponse(request, "paywall/admin/meter.html", context)
        meter, number = form.cleaned_data["meter"], 0
        for resource in chosen:
            if resource.meter != meter:
                before, resource.meter = resource.meter, meter
                resource.save(update_fields=["meter", "updated_at"])
                staff_log.changed(request.user, resource, "meter", before, meter)
                number += 1
        text = ngettext("%d resource was changed.", "%d resources were changed.", number)
        messages.success(request, text % number)
        return None

    def _switch(self, request: HttpRequest, queryset: QuerySet[Resource], active: bool) -> None:
        number = 0
        for resource in queryset.exclude(active=active):
            resource.active = active
            resource.save(update_fields=["active", "updated_at"])
            staff_log.changed(request.user, resource, "active", not active, active)
            number += 1
        text = ngettext("%d resource was changed.", "%d resources were changed.", number)
        messages.success(request, text % number)

    @admin.action(description=_("Duplicate"), permissions=["add"])
    def duplicate(self, request: HttpRequest, queryset: QuerySet[Resource]) -> None:
        for resource in queryset:
            twin = pricing.duplicate(resource, request.user)
            url = reverse("admin:paywall_resource_change", args=[twin.pk])
            messages.success(
                request, format_html('{} <a href="{}">{}</a>', gettext("Copied:"), url, twin)
            )

    # --------------------------------------------------------------------------- Tester

    def tester_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Which rule is it?"),
            "opts": self.opts,
            **tester.look(request),
        }
        return TemplateResponse(request, "paywall/admin/tester.html", context)

    def tester_page(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return tester.person_page(request)
