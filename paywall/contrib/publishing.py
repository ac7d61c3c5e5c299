"""Feeds, sitemaps and the site's own search: what stands where nobody pays has only what is free.

Each of these fails closed: what is sold, in whatever way, shows its teaser, and what a feed would
say of every item alike is refused when the site starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.contrib.contenttypes.models import ContentType
from django.contrib.sitemaps import Sitemap
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Case, CharField, Exists, F, OuterRef, Subquery, TextField, When
from django.db.models.functions import Cast
from django.urls import Resolver404, resolve

from paywall.catalog import path_rules
from paywall.decorators import finder_of
from paywall.discovery import listing
from paywall.models import PricedMixin, Resource

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import Model, QuerySet

    from paywall.discovery.listing import Listed

    SitemapBase = Sitemap[Listed]
else:
    SitemapBase = Sitemap


def is_sold(item: Any) -> bool:
    """Whether a page is sold: the object itself (`PricedMixin`), or the URL that it says is its
    own, by a decorator or a path rule. What is sold and switched off counts as sold."""
    return _resource_of(item) is not None or _is_sold_by_its_url(item)


def _resource_of(item: Any) -> Resource | None:
    return item.paywall_resource if isinstance(item, PricedMixin) else None


def _is_sold_by_its_url(item: Any) -> bool:
    where = getattr(item, "get_absolute_url", None)
    if where is None:
        return False
    path = urlsplit(str(where())).path
    rules = path_rules.peek() or path_rules.load()
    if rules.find(path) is not None:
        return True
    try:
        return finder_of(resolve(path).func) is not None
    except Resolver404:
        return False


def public_text(item: Any, whole: str | Callable[[], str], teaser: str | None = None) -> str:
    """The whole text of what is free, and of what is sold the teaser (by default what its Resource
    says before anybody pays). `whole` may be a function, which is not called for what is sold."""
    resource = _resource_of(item)
    if resource is None and not _is_sold_by_its_url(item):
        return whole() if callable(whole) else whole
    if teaser is not None:
        return teaser
    return resource.description if resource is not None else ""


def with_public_text(
    queryset: QuerySet[Any], whole: str, teaser: str | None = None
) -> QuerySet[Any]:
    """The rows of a model with `PricedMixin`, each with its `public_text`, to be searched:

        with_public_text(Article.objects.all(), "body", "teaser").filter(public_text__icontains=q)

    `whole` and `teaser` are names of fields. Without a teaser it is what the Resource says. Only
    what is sold as an object is known to the database: for path rules see `public_text`.
    """
    model: type[Model] = queryset.model
    if not issubclass(model, PricedMixin):
        raise TypeError(f"{model.__name__} has no PricedMixin: the database cannot tell its price.")
    kind = ContentType.objects.get_for_model(model)
    key = Cast(OuterRef("pk"), CharField())
    its = Resource.objects.filter(content_type=kind, object_id=key)
    free = F(teaser) if teaser else Subquery(its.values("description")[:1])
    text = Case(When(Exists(its), then=free), default=F(whole), output_field=TextField())
    found: QuerySet[Any] = queryset.annotate(public_text=text)
    return found


class TeaserFeed:
    """A feed in which what is sold is a teaser. It stands to the left of Django's:

    class Latest(TeaserFeed, Feed):
        def items(self): return Article.objects.all()[:20]
        def item_whole(self, item): return item.body       # for what is free
        def item_teaser(self, item): return item.teaser    # for what is sold
    """

    LEAKS = ("item_description", "description_template", "item_extra_kwargs", "item_enclosures")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raises `ImproperlyConfigured` for what would show everything of every item."""
        super().__init_subclass__(**kwargs)
        for name in TeaserFeed.LEAKS:
            if name in vars(cls):
                raise ImproperlyConfigured(
                    f"{cls.__name__}.{name} would show what is sold to everybody. Text is what "
                    "item_whole(item) and item_teaser(item) return; the rest goes into "
                    "item_free_kwargs(item) and item_free_enclosures(item), for what is free."
                )

    def item_whole(self, item: Any) -> str:
        """The text of an item that is free."""
        return ""

    def item_teaser(self, item: Any) -> str | None:
        """The text of an item that is sold; None: what its Resource says."""
        return None

    def item_free_kwargs(self, item: Any) -> dict[str, Any]:
        """More for the feed's generator, of an item that is free."""
        return {}

    def item_free_enclosures(self, item: Any) -> list[Any]:
        """What is attached to an item that is free."""
        return []

    def item_description(self, item: Any) -> str:
        return public_text(item, lambda: self.item_whole(item), self.item_teaser(item))

    def item_extra_kwargs(self, item: Any) -> dict[str, Any]:
        return {} if is_sold(item) else self.item_free_kwargs(item)

    def item_enclosures(self, item: Any) -> list[Any]:
        return [] if is_sold(item) else self.item_free_enclosures(item)


class SoldSitemap(SitemapBase):
    """All that is for sale and listed, at its address; path rules that stand for many pages are
    left to the site's own sitemaps. It says where things are, not what is in them."""

    def items(self) -> list[Listed]:
        return [one for one in listing.all_() if not one.is_template and "GET" in one.methods]

    def location(self, item: Listed) -> str:
        return item.path

    def lastmod(self, item: Listed) -> datetime:
        return item.changed_at
