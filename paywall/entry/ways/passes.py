"""A pass: what was paid for before is open to its holder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db.models import Q
from django.utils import timezone

from paywall import durable, holders
from paywall.effects import query
from paywall.models import AccessPass

from .base import Ticket, Way

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.effects import Steps

    from .base import Visit


class Passes(Way):
    """For resources that one payment opens for longer."""

    name: ClassVar[str] = "pass"

    def admit(self, visit: Visit) -> Steps[Ticket | None] | None:
        return None if visit.sale.is_by_request else self._look(visit)

    def _look(self, visit: Visit) -> Steps[Ticket | None]:
        return Ticket() if (yield from query(admits, visit.request, visit.sale)) else None


@durable.read
def admits(request: HttpRequest, sale: ForSale) -> bool:
    """Whether the request holds a pass for the resource. May query the database."""
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
