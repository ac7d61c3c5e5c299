"""Any model of the site can be sold."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models, router, transaction
from django.shortcuts import get_object_or_404
from django.utils import timezone

from .resources import Price, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http import HttpRequest


class PricedMixin(models.Model):
    """Adds what an object costs to a model:

        class Article(PricedMixin, models.Model): ...

        article.sell("0.10", title=article.title, access="forever")
        @payment_required(Article.sold_by("slug"))
        def article(request, slug): ...

    With `paywall.admin.PricedInline` its admin shows price, access and sales. Lists take
    `Article.objects.prefetch_related("paywall_resources")`: two queries for any number of rows.
    An object that was sold cannot be deleted: its payments name what they bought.
    """

    paywall_resources = GenericRelation(Resource)

    class Meta:
        abstract = True

    @classmethod
    def sold_by(cls, *names: str) -> SoldBy:
        """For `payment_required`: the object whose fields of these names are what the view's
        arguments of the same names say; 404 where there is none. Which that is is kept as long as
        its price, so that a 402 costs no query."""
        return SoldBy(cls, names)

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


class SoldBy:
    """Finds what is sold by a view's arguments, as a callable of `payment_required`."""

    def __init__(self, model: type[PricedMixin], names: tuple[str, ...]) -> None:
        if not names:
            raise TypeError(f"{model.__name__}.sold_by: name at least one field.")
        self.model, self.names = model, names

    def fields(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the object is found by. Raises `ImproperlyConfigured`."""
        try:
            return {name: arguments[name] for name in self.names}
        except KeyError as error:
            raise ImproperlyConfigured(
                f"{self.model.__name__}.sold_by: the view has no argument named {error}."
            ) from None

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> PricedMixin:
        found: PricedMixin = get_object_or_404(self.model, **self.fields(kwargs))
        return found


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
