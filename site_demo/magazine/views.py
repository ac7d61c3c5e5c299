from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from paywall.decorators import payment_required
from paywall.models import attach_prices

from .models import Article


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The free list, with teasers and what each costs."""
    articles = Article.objects.prefetch_related("paywall_resources")
    resources = {article: article.paywall_resource for article in articles}
    attach_prices(resource for resource in resources.values() if resource)
    listed = [(article, resource and resource.price_now) for article, resource in resources.items()]
    return render(request, "magazine/index.html", {"articles": listed})


@require_safe
def archive(request: HttpRequest, year: int, month: int) -> HttpResponse:
    """Knows nothing of money: a path rule in the admin sells all below /archive/."""
    return render(request, "magazine/archive.html", {"year": year, "month": month})


@require_safe
def in_part(request: HttpRequest, slug: str) -> HttpResponse:
    """A page that anybody may open, with a part for payers: see the template."""
    found = get_object_or_404(Article, slug=slug, in_part=True)
    return render(request, "magazine/in_part.html", {"article": found})


@payment_required(Article.sold_by("slug"))
@require_safe
def article(request: HttpRequest, slug: str) -> HttpResponse:
    """Each article is priced as an object of its own."""
    found = get_object_or_404(Article, slug=slug)
    return render(request, "magazine/article.html", {"article": found})
