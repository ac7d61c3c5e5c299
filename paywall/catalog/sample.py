"""What new owners try it with: one thing for a cent, at an address of the paywall's own."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from paywall import durable
from paywall.models import Price, Resource

SLUG = "paywall-sample"
PRICE = Decimal("0.01")


def offer(currency: str) -> tuple[Resource, bool]:
    """Have it for sale in a currency. Returns it, and whether it is new."""
    using = durable.alias()
    with transaction.atomic(using=using):
        resource, is_new = Resource.objects.using(using).get_or_create(
            slug=SLUG, defaults={"title": "A sample", "listed": False}
        )
        if not resource.prices.filter(currency=currency).exists():
            Price.objects.using(using).create(resource=resource, amount=PRICE, currency=currency)
    return resource, is_new
