"""What Wagtail's admin gets: the report, and a refusal to delete what was sold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from wagtail import hooks
from wagtail.admin import messages
from wagtail.admin.menu import AdminOnlyMenuItem

from paywall import durable
from paywall.models import Payment

from .models import PaidPageMixin
from .report import SalesView

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@hooks.register("register_admin_urls")
def urls() -> list[Any]:
    return [
        path("reports/paywall/", SalesView.as_view(), name="paywall_wagtail_sales"),
        path(
            "reports/paywall/results/",
            SalesView.as_view(results_only=True),
            name="paywall_wagtail_sales_results",
        ),
    ]


@hooks.register("register_reports_menu_item")
def menu_item() -> Any:
    url = reverse("paywall_wagtail_sales")
    return AdminOnlyMenuItem(_("Sales of pages"), url, icon_name="lock", order=900)


@hooks.register("before_delete_page")
def keep_what_was_sold(request: HttpRequest, page: Any) -> HttpResponse | None:
    """Its payments name what they bought, so it stays: who deletes one gets a sentence instead."""
    sold: list[str] = [
        one.title  # type: ignore[attr-defined]
        for one in page.get_descendants(inclusive=True).specific()
        if isinstance(one, PaidPageMixin) and _was_sold(one)
    ]
    if not sold:
        return None
    told = gettext("%s was sold: the books name it, so it cannot be deleted. Unpublish it instead.")
    messages.error(request, told % ", ".join(f"“{title}”" for title in sold))
    return HttpResponseRedirect(reverse("wagtailadmin_explore", args=[page.get_parent().pk]))


def _was_sold(page: Any) -> bool:
    resource = page.paywall_resource
    payments = Payment.objects.using(durable.alias())
    return resource is not None and payments.filter(resource=resource).exists()
