"""Which rule a URL hits, and what a program and a person would be told there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import Resolver404, resolve, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from x402.http.utils import safe_base64_decode

from paywall.catalog import audiences, offers, path_rules
from paywall.checks import MIDDLEWARE
from paywall.decorators import finder_of
from paywall.effects import run
from paywall.entry import pages, responses
from paywall.exceptions import NotForSale
from paywall.models import Resource

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.audiences import Quote
    from paywall.catalog.offers import Reference

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class TesterForm(forms.Form):
    url = forms.CharField(
        label=_("URL or path"), max_length=2000, help_text=_("As /archive/2019/may.html?page=2")
    )
    method = forms.ChoiceField(label=_("Method"), choices=[(m, m) for m in METHODS])
    as_me = forms.BooleanField(
        label=_("As me, signed in"), required=False, help_text=_("Or as somebody unknown.")
    )

    def clean_url(self) -> str:
        parts = urlsplit(self.cleaned_data["url"])
        path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
        return f"{path}?{parts.query}" if parts.query else path


@dataclass
class Found:
    """What the tester says."""

    verdict: str = ""
    resource: Resource | None = None
    other_rules: list[Resource] = field(default_factory=list)
    quote: Quote | None = None
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    required: str = ""
    body: str = ""
    page_url: str = ""
    warning: str = ""


def look(request: HttpRequest) -> dict[str, Any]:
    """The form, and what is found for it."""
    form = TesterForm(request.GET) if "url" in request.GET else TesterForm()
    if not form.is_bound or not form.is_valid():
        return {"form": form, "found": None}
    data = form.cleaned_data
    found = Found()
    asked = _request(request, data["url"], data["method"], data["as_me"])
    reference = _reference(asked, found)
    if reference is not None:
        _show(request, asked, reference, found)
    return {"form": form, "found": found}


@xframe_options_sameorigin
def person_page(request: HttpRequest) -> HttpResponse:
    """The page that a person would see, for the tester's frame."""
    form = TesterForm(request.GET)
    if form.is_valid():
        data = form.cleaned_data
        asked = _request(request, data["url"], data["method"], data["as_me"])
        reference = _reference(asked, Found())
        if reference is not None:
            try:
                quote = audiences.quote(asked, offers.load(reference))
            except NotForSale:
                return responses.not_for_sale()
            page = pages.challenge(asked, quote.sale, is_preview=True)
            return HttpResponse(page.content)
    return HttpResponse(gettext("Nothing is sold there."))


def _request(request: HttpRequest, url: str, method: str, as_me: bool) -> HttpRequest:
    """A request as it would come in from outside."""
    made = RequestFactory().generic(
        method,
        url,
        secure=request.is_secure(),
        headers={"host": request.get_host(), "accept": "application/json"},
    )
    made.user = request.user if as_me else AnonymousUser()
    return made


def _reference(asked: HttpRequest, found: Found) -> Reference | None:
    """What sells the URL: the decorator of its view, or the most specific path rule."""
    rules = path_rules.load()
    hits = [rule.resource_id for rule in rules.all(asked.path_info, str(asked.method))]
    resources = Resource.objects.in_bulk(hits)
    ordered = [resources[pk] for pk in hits if pk in resources]
    try:
        match = resolve(asked.path_info)
    except Resolver404:
        found.verdict = gettext("The site has no such URL: it answers 404.")
        found.other_rules = ordered
        return None
    finder = finder_of(match.func)
    if finder is not None:
        found.verdict = gettext("A decorator in code sells this URL.")
        found.other_rules = ordered
        try:
            return run(finder(asked, *match.args, **match.kwargs)())
        except NotForSale as error:
            found.warning = str(error)
        except Exception as error:
            found.warning = f"{type(error).__name__}: {error}"
        return None
    if set(match.app_names) & path_rules.EXEMPT_APPS:
        found.verdict = gettext("The admin and the paywall's own pages are never sold.")
        return None
    if not ordered:
        found.verdict = gettext("No rule: this URL is free.")
        return None
    first = ordered[0]
    found.verdict = gettext("The path rule %s sells this URL.") % first.path
    found.other_rules = ordered[1:]
    if MIDDLEWARE not in settings.MIDDLEWARE:
        found.warning = gettext("But PaywallMiddleware is not installed: the URL is free.")
    return int(first.pk)


def _show(request: HttpRequest, asked: HttpRequest, reference: Reference, found: Found) -> None:
    by = {"slug": reference} if isinstance(reference, str) else {"pk": reference}
    found.resource = Resource.objects.filter(**by).first()
    try:
        quote = audiences.quote(asked, offers.load(reference))
    except NotForSale as error:
        found.warning = f"{error} {gettext('The URL answers 503.')}"
        return
    response = responses.challenge(asked, quote.sale)
    found.quote, found.status = quote, response.status_code
    found.headers = sorted(response.headers.items())
    encoded = response.headers["PAYMENT-REQUIRED"]
    found.required = _pretty(safe_base64_decode(encoded))
    found.body = _pretty(response.content.decode())
    query = request.GET.urlencode()
    found.page_url = f"{reverse('admin:paywall_resource_tester_page')}?{query}"


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
