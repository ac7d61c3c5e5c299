"""From what a page says, once it is published, to how it is sold."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from paywall import durable
from paywall.catalog import pricing
from paywall.models import Resource
from paywall.models.priced import described

from .models import PaidPageMixin

if TYPE_CHECKING:
    from decimal import Decimal

log = logging.getLogger(__name__)


def published(sender: Any, instance: Any, revision: Any = None, **kwargs: Any) -> None:
    """Wagtail's signal: what is said on the page takes effect. A page whose price cannot be taken
    over is not sold and not given away: it answers 503, and the log says why."""
    page = instance
    if not isinstance(page, PaidPageMixin):
        return
    by = getattr(revision, "user", None)
    try:
        with transaction.atomic(using=durable.alias()):
            _take_over(page, by)
    except ValidationError:
        log.exception("The price of the page %s cannot be taken over", page.pk)


def _take_over(page: Any, by: Any) -> None:
    resource = page.paywall_resource
    if page.paywall_price is None:
        if resource is not None and resource.active:
            resource.active = False
            resource.save(update_fields=["active", "updated_at"])
        return
    if resource is None:
        resource = page.sell(page.paywall_price, page.paywall_currency, **_fields(page))
    else:
        for name, value in _fields(page).items():
            setattr(resource, name, value)
        resource.active = True
        resource.full_clean()
        resource.save()
        if _price_of(resource, page.paywall_currency) != page.paywall_price:
            pricing.set_price(resource, page.paywall_price, page.paywall_currency, by=by)
    page.__dict__.pop("_prefetched_objects_cache", None)


def _fields(page: Any) -> dict[str, Any]:
    is_timed = page.paywall_access == Resource.Access.PERIOD
    return {
        "title": described(page)["title"],
        "description": page.search_description or "",
        "access": page.paywall_access,
        "pass_seconds": page.paywall_days * 86_400 if is_timed else None,
    }


def _price_of(resource: Resource, currency: str) -> Decimal | None:
    found = pricing.in_force(resource, currency, timezone.now(), None)
    return found.amount if found is not None else None
