"""What goes out to a person: the 402 as a page, and what is said instead of an offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.templatetags.static import static

from paywall.catalog import audiences
from paywall.checkout import page
from paywall.checkout.balance import opened_at
from paywall.entry import asked, responses
from paywall.exceptions import Code
from paywall.protocols import registry as protocols

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale
    from paywall.exceptions import Refused, Unavailable


def challenge(
    request: HttpRequest, sale: ForSale, teaser: str = "", *, is_preview: bool = False
) -> HttpResponse:
    """The same 402 with the same headers as for a program. `teaser` is the view's own; a preview
    has no scripts. Renders a template."""
    url, nonce = request.build_absolute_uri(), page.new_nonce()
    next_ = opened_at(sale.access, url)
    context = page.context_for(request, sale, url, audiences.url_to_keep(request), nonce, next_)
    context["teaser"] = page.escaped(teaser)
    if is_preview:
        context["script"] = ""
    text = render_to_string("paywall/payment_required.html", context, request)
    response = responses.as_challenge(
        HttpResponse(text, status=402), sale.challenge.headers(asked.of(request))
    )
    page.protect(response, nonce)
    return response


def is_for_a_person(request: HttpRequest) -> bool:
    """Programs that pay are answered in JSON, whatever they say that they take."""
    return responses.wants_page(request) and not protocols.brings_credential(request.META)


def told(request: HttpRequest, reason: Refused | Unavailable, refresh: int = 0) -> HttpResponse:
    """What asks nobody to pay; it looks again after so many seconds."""
    nonce = page.new_nonce()
    context = {
        "told": page.sentence(reason.code),
        "refresh": refresh,
        "script": static(page.AGAIN) if refresh else "",
        "csp_nonce": nonce,
        "open": request.get_full_path() if reason.code == Code.TO_BE_OPENED else "",
        "purchases": reason.code == Code.TOO_MANY_DEVICES,
    }
    text = render_to_string("paywall/checkout/told.html", context, request)
    response = responses.as_answer(HttpResponse(text, status=reason.status))
    page.protect(response, nonce)
    return response
