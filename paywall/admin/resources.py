"""Resources, with their price where the eye is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Max, OuterRef, QuerySet, Subquery, Sum
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from paywall import journal, owner_time, pricing
from paywall.models import Audience, FreeUse, Price, Resource, ResourceDay
from paywall.models.exposure import UNITS
from paywall.vocabulary import money

from . import tester
from .base import ReadOnly
from .forms import PriceForm, RaiseForm

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    InlineBase = admin.TabularInline[Price, Resource]
    ModelAdminBase = admin.ModelAdmin[Resource]
    AudienceAdminBase = admin.ModelAdmin[Audience]
    FreeUseAdminBase = admin.ModelAdmin[FreeUse]
else:
    InlineBase = admin.TabularInline
    AudienceAdminBase = FreeUseAdminBase = admin.ModelAdmin
    if apps.is_installed("import_export"):
        from .transfer import ModelAdminBase
    else:
        ModelAdminBase = admin.ModelAdmin

DAYS = 30


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
    fields = [
        *("amount", "currency", "audience", "free_uses", "free_per", "free_every"),
        *("valid_from", "standing"),
    ]
    readonly_fields = ["standing"]
    can_delete = False
    verbose_name_plural = _("prices (add one to supersede the one before)")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        """Each with whether it is in force, without a query a row."""
        prices = super().get_queryset(request).select_related("audience")
        current = Price.objects.in_force(timezone.now()).values("pk")
        return prices.annotate(is_current=Subquery(current.filter(pk=OuterRef("pk"))))

    @admin.display(description=_("in force"))
    def standing(self, price: Any) -> str:
        if price.pk is None:
            return ""
        if price.valid_from > timezone.now():
            return gettext("to come")
        return gettext("now") if price.is_current else gettext("superseded")


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
    """The list, with what its rows cost and earned of late: two queries, whatever it shows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        since = owner_time.today() - timedelta(days=DAYS - 1)
        earned: dict[int, list[str]] = {}
        days = ResourceDay.objects.filter(resource__in=rows, day__gte=since).order_by()
        for pk, currency, units in days.values_list("resource_id", "currency").annotate(
            units=Sum("revenue_units")
        ):
            earned.setdefault(pk, []).append(f"{money(Decimal(units) / UNITS)} {currency}")
        prices: dict[int, list[str]] = {}
        known = Price.objects.filter(resource__in=rows, audience=None).in_force(timezone.now())
        for price in known.order_by("-valid_from", "-pk"):
            prices.setdefault(price.resource_id, []).append(str(price))
        for row in rows:
            row.prices_shown = ", ".join(prices.get(row.pk, []))
            row.earned = ", ".join(sorted(earned.get(row.pk, [])))
        self.result_list = rows


@admin.register(Resource)
class ResourceAdmin(ModelAdminBase):
    list_display = [
        *("title", "price", "settlement", "opens", "sales", "revenue", "last_sale"),
        *("sold_by", "active"),
    ]
    list_filter = ["active", "policy", "access", SoldByFilter]
    search_fields = ["title", "slug", "description", "path"]
    search_help_text = _("Title, slug, teaser or path")
    date_hierarchy = "created_at"
    show_full_result_count = False
    inlines = [PriceInline]
    readonly_fields = ["created_at", "updated_at", "of_object"]
    change_list_template = "paywall/admin/resource_list.html"
    fieldsets = [
        (None, {"fields": ["title", "slug", "description", "mime_type", "active"]}),
        (_("Selling"), {"fields": ["policy", "access", "pass_seconds"]}),
        (_("Where"), {"fields": ["path", "methods", "of_object"]}),
        (_("Dates"), {"fields": ["created_at", "updated_at"]}),
    ]
    actions = ["set_price", "raise_price", "activate", "deactivate", "duplicate"]

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("tester/", wrap(self.tester_view), name="paywall_resource_tester"),
            path("tester/page/", wrap(self.tester_page), name="paywall_resource_tester_page"),
            path("<int:pk>/price/", wrap(self.price_view), name="paywall_resource_price"),
            *super().get_urls(),
        ]

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
        since = owner_time.today() - timedelta(days=DAYS - 1)
        late = days.filter(day__gte=since).annotate(n=Sum("sales"))
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
        if before is not None:
            for name in sorted({"policy", "access", "pass_seconds", "active", "path", "methods"}):
                old, new = getattr(before, name), getattr(obj, name)
                if old != new:
                    journal.changed(request.user, obj, name, old, new)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        resource, now = form.instance, timezone.now()
        before = list(Price.objects.filter(resource=resource).in_force(now))
        super().save_formset(request, form, formset, change)
        for price in getattr(formset, "new_objects", []):
            if isinstance(price, Price):
                key = price.audience_id, price.currency
                old = next((p for p in before if (p.audience_id, p.currency) == key), None)
                pricing.note(request.user, price, old)

    def price_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One price, changed from the list: a page, or its form for the list's dialog."""
        resource = get_object_or_404(Resource, pk=pk)
        if not self.has_change_permission(request, resource):
            raise PermissionDenied
        current = resource.current_price()
        back = _back(request)
        if request.method == "POST":
            form = PriceForm(request.POST)
            if form.is_valid():
                data = form.cleaned_data
                price = pricing.set_price(
                    resource,
                    data["amount"],
                    data["currency"],
                    by=request.user,
                    valid_from=data["valid_from"],
                )
                told = _("“%(title)s” costs %(price)s now.")
                if price.valid_from > timezone.now():
                    told = _("“%(title)s” will cost %(price)s.")
                messages.success(request, told % {"title": resource.title, "price": price})
                return HttpResponseRedirect(back)
        else:
            initial: dict[str, Any] = {"currency": "USD"}
            if current is not None:
                initial = {"amount": current.amount.normalize(), "currency": current.currency}
            form = PriceForm(initial=initial)
        is_fragment = request.headers.get("X-Requested-With") == "fetch"
        context = {
            **self.admin_site.each_context(request),
            "title": _("Price of “%s”") % resource.title,
            "opts": self.opts,
            "form": form,
            "resource": resource,
            "current": current,
            "coming": Price.objects.filter(
                resource=resource, audience=None, valid_from__gt=timezone.now()
            ),
            "action": request.path,
            "back": back,
            "media": self.media + form.media,
            "frame": "paywall/admin/bare.html" if is_fragment else "admin/base_site.html",
        }
        return TemplateResponse(request, "paywall/admin/price.html", context)

    @admin.action(description=_("Set the price…"), permissions=["change"])
    def set_price(self, request: HttpRequest, queryset: QuerySet[Resource]) -> Any:
        return self._change_prices(
            request,
            queryset,
            PriceForm,
            lambda data, chosen: pricing.set_to(chosen, data["amount"], data["currency"]),
        )

    @admin.action(description=_("Raise or lower prices by percent…"), permissions=["change"])
    def raise_price(self, request: HttpRequest, queryset: QuerySet[Resource]) -> Any:
        return self._change_prices(
            request,
            queryset,
            RaiseForm,
            lambda data, chosen: pricing.raised(chosen, data["percent"], data["places"]),
        )

    def _change_prices(
        self,
        request: HttpRequest,
        queryset: QuerySet[Resource],
        form_class: type[PriceForm | RaiseForm],
        changes_of: Callable[[dict[str, Any], list[Resource]], list[pricing.Change]],
    ) -> HttpResponse:
        """A page that asks, shows what would come of it, and does it when told to."""
        chosen = list(queryset.order_by("title"))
        step = request.POST.get("step", "")
        form = form_class(request.POST if step else None)
        changes: list[pricing.Change] = []
        if step and form.is_valid():
            changes = changes_of(form.cleaned_data, chosen)
            if step == "apply":
                try:
                    number = pricing.apply(
                        changes, by=request.user, valid_from=form.cleaned_data["valid_from"]
                    )
                except ValidationError as error:
                    form.add_error(None, ValidationError(error.messages))
                else:
                    text = ngettext("%d price changes.", "%d prices change.", number)
                    messages.success(request, text % number)
                    return HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "title": _("Prices"),
            "opts": self.opts,
            "form": form,
            "chosen": chosen,
            "changes": changes,
            "action": request.POST.get("action", ""),
            "checkbox": ACTION_CHECKBOX_NAME,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "paywall/admin/prices.html", context)

    @admin.action(description=_("Activate: sell it"), permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Resource]) -> None:
        self._switch(request, queryset, True)

    @admin.action(description=_("Deactivate: nobody gets in"), permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Resource]) -> None:
        self._switch(request, queryset, False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Resource], active: bool) -> None:
        number = 0
        for resource in queryset.exclude(active=active):
            resource.active = active
            resource.save(update_fields=["active", "updated_at"])
            journal.changed(request.user, resource, "active", not active, active)
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


def _back(request: HttpRequest) -> str:
    """The list as it was, with its filters and its page."""
    fallback = reverse("admin:paywall_resource_changelist")
    before = request.POST.get("back") or request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(before, {request.get_host()}, request.is_secure())
    return before if ours and urlsplit(before).path == fallback else fallback


@admin.register(Audience)
class AudienceAdmin(AudienceAdminBase):
    list_display = ["name", "kind", "group", "active"]
    list_filter = ["kind", "active"]
    list_select_related = ["group"]
    search_fields = ["name"]


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
