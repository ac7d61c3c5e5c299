"""Changing prices: in a resource's form, one in the list, many after a look at what will come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from paywall import conf
from paywall.catalog import pricing
from paywall.models import Price, Resource

from .base import action_page
from .forms import PriceForm, RaiseForm

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

    InlineBase = admin.TabularInline[Price, Resource]
    MixinBase = admin.ModelAdmin[Resource]
else:
    InlineBase = admin.TabularInline
    MixinBase = object


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
        *("amount", "currency", "audience", "free_uses", "free_per", "free_balance"),
        "free_every",
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


class PriceChanges(MixinBase):
    """What the admin of resources does about prices."""

    def has_price_permission(self, request: HttpRequest) -> bool:
        """Who may say what things cost: to change a resource is not enough."""
        return request.user.has_perm("paywall.add_price")

    def price_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One price, changed from the list: a page, or its form for the list's dialog."""
        resource = get_object_or_404(Resource, pk=pk)
        if not (
            self.has_change_permission(request, resource) and self.has_price_permission(request)
        ):
            raise PermissionDenied
        current = resource.current_price()
        back = _back(request)
        if request.method == "POST":
            form = PriceForm(request.POST)
            if form.is_valid():
                data = form.cleaned_data
                try:
                    price = pricing.set_price(
                        resource,
                        data["amount"],
                        data["currency"],
                        by=request.user,
                        valid_from=data["valid_from"],
                    )
                except ValidationError as error:
                    form.add_error(None, ValidationError(error.messages))
            if form.is_valid():
                told = _("“%(title)s” costs %(price)s now.")
                if price.valid_from > timezone.now():
                    told = _("“%(title)s” will cost %(price)s.")
                messages.success(request, told % {"title": resource.title, "price": price})
                return HttpResponseRedirect(back)
        else:
            initial: dict[str, Any] = {"currency": conf.get().currency}
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

    @admin.action(description=_("Set the price…"), permissions=["price"])
    def set_price(self, request: HttpRequest, queryset: QuerySet[Resource]) -> Any:
        return self._change_prices(
            request,
            queryset,
            PriceForm,
            lambda data, chosen: pricing.set_to(chosen, data["amount"], data["currency"]),
        )

    @admin.action(description=_("Raise or lower prices by percent…"), permissions=["price"])
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
            count = str(len(chosen))
            if step == "apply" and request.POST.get("seen", count) != count:
                form.add_error(
                    None, _("There are others than before among these: look at them once more.")
                )
            elif step == "apply":
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
            **action_page(self, request, form),
            "title": _("Prices"),
            "chosen": chosen,
            "changes": changes,
        }
        return TemplateResponse(request, "paywall/admin/prices.html", context)


def _back(request: HttpRequest) -> str:
    """The list as it was, with its filters and its page."""
    fallback = reverse("admin:paywall_resource_changelist")
    before = request.POST.get("back") or request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(before, {request.get_host()}, request.is_secure())
    return before if ours and urlsplit(before).path == fallback else fallback
