"""An article with a price, and one with routes of its own."""

from __future__ import annotations

from django.http import HttpResponse
from wagtail.admin.panels import FieldPanel
from wagtail.api import APIField
from wagtail.blocks import RichTextBlock
from wagtail.contrib.routable_page.models import RoutablePageMixin, path
from wagtail.fields import StreamField
from wagtail.models import Page
from wagtail.search import index

from paywall.contrib.wagtail.blocks import PaywallBreakBlock
from paywall.contrib.wagtail.models import PaidPageMixin


class ArticlePage(PaidPageMixin, Page):
    body = StreamField([("text", RichTextBlock()), ("paywall", PaywallBreakBlock())], blank=True)
    content_panels = [*Page.content_panels, FieldPanel("body"), *PaidPageMixin.paywall_panels]
    search_fields = [*Page.search_fields, index.SearchField("body")]
    api_fields = [APIField("search_description")]


class ReportPage(PaidPageMixin, RoutablePageMixin, Page):
    @path("")
    def whole(self, request):
        return HttpResponse("the whole report")

    @path("chapter/<int:number>/")
    def chapter(self, request, number):
        return HttpResponse(f"chapter {number}")
