"""Any model of the site can be sold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone

from .resources import Price, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal


class PricedMixin(models.Model):
    """Adds what an object costs to a model:

        class Article(PricedMixin, models.Model): ...

        article.sell("0.10", title=article.title, access="forever")
        @payment_required(lambda request, slug: get_object_or_404(Article, slug=slug))

    With `paywall.admin.PricedInline` its admin shows price, access and sales. Lists take
    `Article.objects.prefetch_related("paywall_resources")`: two queries for any number of rows.
    An object that was sold cannot be deleted: its payments name what they bought.
    """

    paywall_resources = GenericRelation(Resource)

    class Meta:
        abstract = True

    @property
    def paywall_resource(self) -> Resource | None:
        """How the object is sold, or None if it is not."""
        return next(iter(self.paywall_resources.all()), None)

    def sell(self, amount: str | Decimal, currency: str = "USD", **fields: Any) -> Resource:
        """Make the object's resource with a price; `fields` are the Resource's own.

        Raises `IntegrityError` if it has one.
        """
        kind = ContentType.objects.get_for_model(type(self))
        fields = {**described(self), **fields}
        resource = Resource.objects.create(content_type=kind, object_id=str(self.pk), **fields)
        Price.objects.create(resource=resource, amount=amount, currency=currency)
        return resource


def described(sold: models.Model) -> dict[str, str]:
    """How the resource of an object is called, unless somebody says otherwise."""
    return {
        "title": str(sold)[:200],
        "mime_type": "text/html",
        "slug": f"{sold._meta.model_name}-{sold.pk}",
    }


def attach_prices(resources: Iterable[Resource]) -> None:
    """Give resources their price in force as `price_now`: one query for all of them."""
    chosen = list(resources)
    prices = Price.objects.filter(resource__in=chosen, audience=None)
    found = {price.resource_id: price for price in prices.in_force(timezone.now())}
    for resource in chosen:
        resource.price_now = found.get(resource.pk)
