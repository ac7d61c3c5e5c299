"""What an object of any model costs, on its own page in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.contenttypes.admin import GenericStackedInline
from django.contrib.contenttypes.forms import BaseGenericInlineFormSet
from django.db.models import Sum
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from paywall import staff_log
from paywall.catalog import pricing
from paywall.models import Resource
from paywall.models.exposure import in_currency
from paywall.models.priced import described
from paywall.money import money

from .base import of_late
from .forms import PricedForm

if TYPE_CHECKING:
    from django.utils.safestring import SafeString


class PricedFormSet(BaseGenericInlineFormSet):  # type: ignore[type-arg]
    """One resource; its price is superseded when another one is typed."""

    user: Any = None

    def save_new(self, form: Any, commit: bool = True) -> Resource:
        for name, value in described(self.instance).items():
            setattr(form.instance, name, value)
        return self._with_price(form, super().save_new(form, commit=True))

    def save_existing(self, form: Any, obj: Any, commit: bool = True) -> Resource:
        before = Resource.objects.filter(pk=obj.pk).first()
        resource = super().save_existing(form, obj, commit=True)
        staff_log.compared(
            self.user, before, resource, ("policy", "access", "pass_seconds", "active")
        )
        return self._with_price(form, resource)

    def _with_price(self, form: Any, resource: Resource) -> Resource:
        if form.is_another_price and self.user.has_perm("paywall.add_price"):
            data = form.cleaned_data
            pricing.set_price(resource, data["amount"], data["currency"], by=self.user)
        return resource


class PricedInline(GenericStackedInline):
    """Beside the fields of an object whose model has `PricedMixin`:

    class ArticleAdmin(admin.ModelAdmin):
        inlines = [PricedInline]
    """

    model = Resource
    form = PricedForm
    formset: Any = PricedFormSet
    extra = 1
    max_num = 1
    can_delete = False
    verbose_name = _("how it is sold")
    verbose_name_plural = _("how it is sold")
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("amount", "currency"),
                    ("policy", "access", "pass_seconds"),
                    "description",
                    "active",
                    "sales",
                ]
            },
        )
    ]
    readonly_fields = ["sales"]
    may_price = False

    def get_formset(self, request: Any, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.user = request.user  # type: ignore[attr-defined]
        may = ("paywall.change_resource", "paywall.add_price")
        self.may_price = all(request.user.has_perm(name) for name in may)
        if not request.user.has_perm("paywall.add_price"):
            for name in ("amount", "currency"):
                formset.form.base_fields[name].disabled = True
        return formset

    @admin.display(description=_("sales, 30 days"))
    def sales(self, resource: Resource) -> str | SafeString:
        if resource.pk is None:
            return "–"
        days = of_late().filter(resource=resource)
        rows = days.values_list("currency").annotate(n=Sum("sales"), units=Sum("revenue_units"))
        told = [f"{n} · {money(in_currency(units))} {currency}" for currency, n, units in rows]
        about = reverse("admin:paywall_resource_change", args=[resource.pk])
        shown = format_html(
            '{} <a href="{}">{}</a>', ", ".join(told) or "0", about, gettext("More about it")
        )
        if not self.may_price:
            return shown
        # For who may set prices, and not change the object itself.
        price = reverse("admin:paywall_resource_price", args=[resource.pk])
        return format_html(
            '{} · <a href="{}">{}</a>', shown, price, gettext("Change what it costs")
        )
