"""Feeds, sitemaps and search have nothing of what is sold but its teaser."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.syndication.views import Feed
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils.feedgenerator import Rss201rev2Feed

from paywall.contrib.publishing import (
    SoldSitemap,
    TeaserFeed,
    is_sold,
    public_text,
    with_public_text,
)
from paywall.decorators import payment_required
from paywall.models import Price, Resource
from paywall.testing import factories
from site_demo.magazine.models import Article

pytestmark = [pytest.mark.django_db, pytest.mark.urlconf("tests.contrib.test_publishing")]


class WithTheWhole(Rss201rev2Feed):
    """As sites do who want readers to stay in their feed reader."""

    def add_item_elements(self, handler, item):
        super().add_item_elements(handler, item)
        handler.addQuickElement("content:encoded", item.get("whole", ""))


class Latest(TeaserFeed, Feed):  # type: ignore[type-arg]
    feed_type = WithTheWhole
    title = "Latest"
    link = "/"

    def items(self):
        return Article.objects.order_by("slug")

    def item_whole(self, item):
        return item.body

    def item_teaser(self, item):
        return item.teaser

    def item_free_kwargs(self, item):
        return {"whole": item.body}


class Plain:
    """Something with an address, and no row of ours."""

    def __init__(self, url):
        self.url = url

    def get_absolute_url(self):
        return self.url


@payment_required("decorated", price="0.10")
def decorated(request):
    return HttpResponse("SECRET")


urlpatterns = [
    path("feed/", Latest()),
    path("articles/", include("site_demo.magazine.urls")),
    path("paywall/", include("paywall.urls")),
    path("decorated/", decorated),
    path("archive/1999/", decorated.__wrapped__),
    path("open/", decorated.__wrapped__),
]


@pytest.fixture
def articles(account):
    made = [
        Article.objects.create(
            slug=name, title=name, teaser=f"about {name}", body=f"SECRET {name}", in_part=True
        )
        for name in ("free", "sold", "switched-off")
    ]
    made[1].sell("0.10", description="the resource's own words")
    made[2].sell("0.10", active=False)
    return {article.slug: article for article in made}


def test_a_feed_has_teasers_of_what_is_sold(articles):
    text = Client().get("/feed/").content.decode()
    assert text.count("SECRET free") == 2
    assert "about sold" in text
    assert "about switched-off" in text
    assert "SECRET sold" not in text
    assert "SECRET switched" not in text


@pytest.mark.parametrize(
    "leak", ["item_description", "description_template", "item_extra_kwargs", "item_enclosures"]
)
def test_a_feed_that_would_show_it_all_is_refused(leak):
    with pytest.raises(ImproperlyConfigured, match=f"Leaky.{leak}"):
        type("Leaky", (TeaserFeed, Feed), {leak: "everything.html"})


@pytest.mark.parametrize(
    ("url", "sold"),
    [
        ("/decorated/", True),
        ("/decorated/?page=2", True),
        ("/archive/1999/", True),
        ("/open/", False),
        ("/nowhere/", False),
        ("https://elsewhere.example/archive/1999/", True),
    ],
)
def test_what_is_sold_by_its_url(account, url, sold):
    factories.make_resource("archive", path="/archive/**")
    assert is_sold(Plain(url)) is sold
    assert ("SECRET" in public_text(Plain(url), "SECRET")) is not sold


def test_what_is_sold_is_not_even_made(articles):
    def whole():
        raise AssertionError

    assert public_text(articles["sold"], whole) == "the resource's own words"
    assert public_text(articles["sold"], whole, "mine") == "mine"
    assert public_text(articles["switched-off"], whole) == ""


@pytest.mark.parametrize("teaser", [None, "teaser"])
def test_search_finds_no_word_of_what_is_sold(articles, teaser, django_assert_num_queries):
    rows = with_public_text(Article.objects.all(), "body", teaser)
    with django_assert_num_queries(1):
        found = list(rows.filter(public_text__icontains="secret"))
    assert [article.slug for article in found] == ["free"]
    words = "about" if teaser else "own words"
    assert "sold" in {one.slug for one in rows.filter(public_text__icontains=words)}


def test_search_needs_to_know_the_price():
    with pytest.raises(TypeError, match="no PricedMixin"):
        with_public_text(Price.objects.all(), "amount")


def listed():
    """What Django's view writes down."""
    return str(SoldSitemap().get_urls(site=SimpleNamespace(domain="example.com")))


def test_a_sitemap_has_addresses_alone(articles):
    factories.make_resource("archive", path="/archive/**")
    text = listed()
    assert f"https://example.com{articles['sold'].get_absolute_url()}" in text
    assert "https://example.com/decorated/" in text
    assert articles["free"].get_absolute_url() not in text
    assert "switched-off" not in text
    assert "{path}" not in text
    assert "SECRET" not in text


def test_what_is_not_listed_is_not_in_it(articles):
    Resource.objects.update(listed=False)
    assert listed() == "[]"
