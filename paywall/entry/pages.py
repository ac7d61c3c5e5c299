"""What goes out to a person: the 402 as a page, and what is said instead of an offer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.templatetags.static import static

from paywall import adapter
from paywall.catalog import audiences
from paywall.checkout import page
from paywall.checkout.balance import opened_at
from paywall.entry import asked, caches, responses
from paywall.exceptions import Code
from paywall.mounts import path_of
from paywall.protocols import registry as protocols

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.exceptions import NotForSale, Refused, Unavailable


def challenge(
    request: HttpRequest, sale: ForSale, teaser: str = "", *, is_preview: bool = False
) -> HttpResponse:
    """The same 402 with the same headers as for a program. `teaser` is the view's own; a preview
    has no scripts. Renders a template."""
    url, nonce = request.build_absolute_uri(), page.new_nonce()
    next_ = opened_at(sale.access, url)
    context = page.context_for(request, sale, url, audiences.url_to_keep(request), nonce, next_)
    context["teaser"] = page.escaped(teaser or adapter.teaser(request, adapter.of_sale(sale)))
    context["free_again"] = getattr(request, "paywall_free_again", None)
    context["is_coupon_idle"] = audiences.is_coupon_idle(request, sale)
    if is_preview:
        context["script"] = ""
    text = render_to_string("paywall/payment_required.html", context, request)
    response = responses.as_challenge(
        HttpResponse(text, status=402), responses.headers_of(sale, asked.of(request))
    )
    page.protect(response, nonce)
    caches.has_nonce(request, nonce)
    return response


def is_for_a_person(request: HttpRequest) -> bool:
    """Programs that pay are answered in JSON, whatever they say that they take."""
    return responses.wants_page(request) and not protocols.brings_credential(request.META)


def told(request: HttpRequest, reason: Refused | Unavailable, refresh: int = 0) -> HttpResponse:
    """What asks nobody to pay; it looks again after so many seconds."""
    context = {
        "refresh": refresh,
        "told": page.words(reason),
        "script": static(page.AGAIN) if refresh else "",
        "open": request.get_full_path() if reason.code == Code.TO_BE_OPENED else "",
        "purchases": reason.code == Code.TOO_MANY_DEVICES,
    }
    return _told(request, reason.code, reason.status, context)


def not_for_sale(request: HttpRequest, error: NotForSale) -> HttpResponse:
    """503: JSON for programs, a page for a person. In DEBUG both say why, and where it is mended;
    elsewhere that is for the owner's log."""
    debug = _mended(request, error) if django_settings.DEBUG else {}
    if is_for_a_person(request):
        return responses.retry_later(_told(request, Code.NOT_FOR_SALE, 503, {"debug": debug}))
    response = responses.not_for_sale()
    if debug:
        response.content = json.dumps({**json.loads(response.content), "debug": debug})
    return response


def _told(request: HttpRequest, code: Code, status: int, more: dict[str, Any]) -> HttpResponse:
    nonce = page.new_nonce()
    context = {"told": page.sentence(code), "script": "", "csp_nonce": nonce, **more}
    text = render_to_string("paywall/checkout/told.html", context, request)
    response = responses.as_answer(HttpResponse(text, status=status))
    page.protect(response, nonce)
    return response


def _mended(request: HttpRequest, error: NotForSale) -> dict[str, Any]:
    """For a developer: why, and the admin's pages where something can be done about it."""
    if error.resource_id is None:
        its_page = path_of("admin:paywall_resource_add")
    else:
        its_page = path_of("admin:paywall_resource_change", error.resource_id)
    found = [its_page, path_of("admin:paywall_account_changelist")]
    return {"why": str(error), "mend": [request.build_absolute_uri(p) for p in found if p]}
