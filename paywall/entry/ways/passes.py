"""A pass: what was paid for before is open to its holder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q
from django.utils import timezone

from paywall import durable, holders
from paywall.models import AccessPass, Resource

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale


@durable.read
def admits(request: HttpRequest, sale: ForSale) -> bool:
    """Whether the request holds a pass for the resource. May query the database."""
    if sale.access == Resource.Access.REQUEST:
        return False
    owner = Q(pk__in=())
    holder = holders.browser(request)
    if holder:
        owner |= Q(holder=holder)
    user_id = holders.user_id(request)
    if user_id is not None:
        owner |= Q(user_id=user_id)
    if not holder and user_id is None:
        return False
    return (
        AccessPass.objects.using(durable.alias())
        .filter(owner, resource_id=sale.resource_id, revoked_at__isnull=True)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))
        .exists()
    )
