"""Any model of the site can be sold."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models, router, transaction
from django.utils import timezone

from .resources import Price, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable


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

        Raises `ImproperlyConfigured` if it is sold already, or cannot be sold so.
        """
        kind = ContentType.objects.get_for_model(type(self))
        fields = {**described(self), **fields}
        if self.paywall_resources.exists():
            raise ImproperlyConfigured(
                f"{self!r} is sold already: change how in the admin, or add a Price to supersede "
                "the one that it has."
            )
        resource = Resource(content_type=kind, object_id=str(self.pk), **fields)
        try:
            resource.full_clean()
            price = Price(amount=Decimal(amount), currency=currency)
            price.clean_fields(exclude=["resource"])
        except (ValidationError, InvalidOperation) as error:
            told = "; ".join(getattr(error, "messages", [f"{amount!r} is no amount"]))
            raise ImproperlyConfigured(f"{self!r} cannot be sold so: {told}") from error
        with transaction.atomic(using=router.db_for_write(Resource)):
            resource.save()
            price.resource = resource
            price.save()
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
