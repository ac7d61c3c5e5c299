"""What each page has sold: a report in Wagtail's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Sum
from django.utils.translation import gettext_lazy as _
from wagtail.admin.views.reports import PageReportView
from wagtail.models import Page

from paywall import durable
from paywall.models import ResourceDay, attach_prices
from paywall.models.exposure import in_currency
from paywall.models.resources import Resource
from paywall.money import money

from .checks import page_models

if TYPE_CHECKING:
    from django.db.models import QuerySet


class SalesView(PageReportView):
    """Pages that are or were sold, with price, sales and revenue."""

    page_title = _("Sales of pages")
    header_icon = "lock"
    results_template_name = "paywall_wagtail/sales_results.html"
    index_url_name = "paywall_wagtail_sales"
    index_results_url_name = "paywall_wagtail_sales_results"
    list_export = (
        *("title", "paywall_price_now", "paywall_sales", "paywall_revenue", "paywall_last_sale"),
    )
    export_headings = {
        "title": _("Title"),
        "paywall_price_now": _("Price"),
        "paywall_sales": _("Sales"),
        "paywall_revenue": _("Revenue"),
        "paywall_last_sale": _("Last sale"),
    }

    def get_queryset(self) -> QuerySet[Page]:
        sold = Resource.objects.using(durable.alias()).filter(content_type__in=_kinds())
        keys = [key for key in sold.values_list("object_id", flat=True) if key]
        return Page.objects.filter(pk__in=keys).order_by("title")

    def decorate_paginated_queryset(self, object_list: Any) -> list[Any]:
        rows = list(object_list)
        add_sales(rows)
        return rows


def _kinds() -> list[ContentType]:
    return [ContentType.objects.get_for_model(model) for model in page_models()]


def add_sales(pages: list[Any]) -> None:
    """Put onto each page what it costs and has sold: three queries, however many they are."""
    using = durable.alias()
    resources = Resource.objects.using(using).filter(
        content_type__in=_kinds(), object_id__in=[str(page.pk) for page in pages]
    )
    of_page = {resource.object_id: resource for resource in resources}
    attach_prices(of_page.values())
    days = ResourceDay.objects.using(using).filter(resource__in=of_page.values()).order_by()
    revenue: dict[int, list[str]] = {}
    sales: dict[int, int] = {}
    last: dict[int, Any] = {}
    for key, currency, number, units in days.values_list("resource_id", "currency").annotate(
        Sum("sales"), Sum("revenue_units")
    ):
        sales[key] = sales.get(key, 0) + number
        revenue.setdefault(key, []).append(f"{money(in_currency(units))} {currency}")
    for key, at in days.values_list("resource_id", "last_sale_at"):
        last[key] = max(filter(None, (last.get(key), at)), default=None)
    for page in pages:
        resource = of_page.get(str(page.pk))
        price = resource.price_now if resource is not None and resource.active else None
        key = resource.pk if resource is not None else 0
        page.paywall_price_now = f"{money(price.amount)} {price.currency}" if price else ""
        page.paywall_sales = sales.get(key, 0)
        page.paywall_revenue = ", ".join(sorted(revenue.get(key, [])))
        page.paywall_last_sale = last.get(key)
