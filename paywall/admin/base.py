"""What the desk's pages share."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.paginator import Paginator
from django.db.models import PROTECT
from django.urls import reverse
from django.utils.html import format_html

from paywall import business_days
from paywall.models import ResourceDay
from paywall.rails import registry

if TYPE_CHECKING:
    from django.contrib import admin
    from django.db.models import Model, QuerySet
    from django.forms import BaseForm
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    PaginatorBase = Paginator[Any]
else:
    PaginatorBase = Paginator


class ReadOnly:
    """The owner looks at it; only the paywall writes it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OnlyUnused:
    """What payments, prices or orders refer to cannot be deleted, so nobody is offered to: its form
    and its list have a switch instead. One row at a time; nothing is deleted in bulk."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may: bool = super().has_delete_permission(request, obj)  # type: ignore[misc]
        return may and obj is not None and not _is_in_use(obj)


def _is_in_use(obj: Model) -> bool:
    """Whether a row that is kept refers to it."""
    return any(
        relation.related_model._base_manager.filter(**{relation.field.name: obj}).exists()
        for relation in obj._meta.related_objects
        if relation.on_delete is PROTECT
    )


def dashboards(model_admin: admin.ModelAdmin[Any], page: str) -> str:
    """The URL of a page of the dashboard, as this admin site has it mounted."""
    site = model_admin.admin_site.name
    return reverse(f"{site}:paywall_dashboard:{page}", current_app=site)


def action_page(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, form: BaseForm
) -> dict[str, Any]:
    """The context of an admin action's page that asks once more: it sends again what was chosen.
    Of rows chosen one by one every key; of a whole list, which its filters say again, one is
    enough."""
    keys = request.POST.getlist(ACTION_CHECKBOX_NAME)
    across = request.POST.get("select_across", "0")
    return {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "form": form,
        "action": request.POST.get("action", ""),
        "checkbox": ACTION_CHECKBOX_NAME,
        "keys": keys[:1] if across == "1" else keys,
        "across": across,
        "media": model_admin.media + form.media,
    }


class FirstPages(PaginatorBase):
    """Counts no further than people page: a list of millions opens as one of hundreds does."""

    most = 5_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most].count())


def of_late() -> QuerySet[ResourceDay]:
    """Resources' days of the last 30, today's among them."""
    since = business_days.today() - timedelta(days=29)
    return ResourceDay.objects.filter(day__gte=since).order_by()


def reference_link(rail: str, network: str, reference: str) -> str | SafeString:
    """What moved money (a transaction, say), linked to where a person can look at it."""
    if not reference:
        return "–"
    short = f"{reference[:10]}…{reference[-6:]}" if len(reference) > 20 else reference
    url = registry.reference_url(rail, network, reference)
    if url is None:
        return short
    return format_html('<a href="{}" rel="noreferrer" target="_blank">{}</a>', url, short)
