from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from paywall.decorators import payment_required
from paywall.models import Resource

from .models import Article


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The free list, with teasers and what each costs."""
    articles = [
        (article, article.resource.current_price())
        for article in Article.objects.select_related("resource")
    ]
    return render(request, "magazine/index.html", {"articles": articles})


def article_resource(request: HttpRequest, slug: str) -> Resource:
    return get_object_or_404(Article.objects.select_related("resource"), slug=slug).resource


@payment_required(article_resource)
@require_safe
def article(request: HttpRequest, slug: str) -> HttpResponse:
    """Each article is priced as an object of its own."""
    found = get_object_or_404(Article, slug=slug)
    return render(request, "magazine/article.html", {"article": found})
