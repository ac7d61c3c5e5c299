"""What the desk's pages share."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.utils.html import format_html

from paywall import owner_time
from paywall.evm import networks
from paywall.models import ResourceDay

if TYPE_CHECKING:
    from django.db.models import QuerySet
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


class FirstPages(PaginatorBase):
    """Counts no further than people page: a list of millions opens as one of hundreds does."""

    most = 5_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most].count())


def of_late() -> QuerySet[ResourceDay]:
    """Resources' days of the last 30, today's among them."""
    since = owner_time.today() - timedelta(days=29)
    return ResourceDay.objects.filter(day__gte=since).order_by()


def transaction_link(network: str, tx_hash: str) -> str | SafeString:
    """A transaction, linked to where a person can look at it."""
    if not tx_hash:
        return "–"
    short = f"{tx_hash[:10]}…{tx_hash[-6:]}"
    url = networks.transaction_url(network, tx_hash)
    if url is None:
        return short
    return format_html('<a href="{}" rel="noreferrer" target="_blank">{}</a>', url, short)
