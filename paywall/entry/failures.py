"""The other use of 402: an attempt to pay failed, in a site's own code or in Stripe's package."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.template.loader import render_to_string

from paywall.catalog import offers
from paywall.checkout import page, texts
from paywall.entry import asked, pages, responses
from paywall.exceptions import NotForSale, PaymentFailed, Refused, Unavailable
from paywall.logs import plain
from paywall.protocols.problem import problem
from paywall.rails import registry
from paywall.rails.base import ReadsErrors

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.exceptions import PaywallError

log = logging.getLogger(__name__)


def answer(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """What a buyer is told of an exception in a site's own code; None where it is about no payment.
    May query."""
    meant = _meant(error)
    match meant:
        case PaymentFailed():
            log.warning("%s %s: %s", request.method, plain(request.path), meant)
            return _failed(request, meant)
        case Unavailable():
            log.error("%s %s: %s", request.method, plain(request.path), type(error).__name__)
            if pages.is_for_a_person(request):
                return responses.retry_later(pages.told(request, meant))
            return responses.unavailable(meant, None)
        case Refused():
            return responses.conflict(meant)
    return None


def _meant(error: BaseException) -> PaywallError | None:
    if isinstance(error, PaymentFailed):
        return error
    for rail in registry.who_can(ReadsErrors):
        if (meant := rail.failure(error)) is not None:
            return meant
    return None


def _failed(request: HttpRequest, failed: PaymentFailed) -> HttpResponse:
    detail = failed.detail or texts.of_failure(failed.code, failed.decline_code, failed.retry)
    more = {"decline_code": failed.decline_code, "retry": str(failed.retry)}
    sale = None
    if failed.resource:
        try:
            sale = offers.get(failed.resource)
        except NotForSale as error:
            log.warning("A payment failed for what is not for sale: %s", error)
    if pages.is_for_a_person(request):
        return _page(request, detail, failed)
    if sale is None:
        body = json.dumps(problem(402, failed.code, detail, **more)).encode()
        return responses.as_answer(responses.as_problem(request, body))
    seen = asked.of(request)
    body = sale.challenge.refusal_body(seen.url, 402, failed.code, detail, **more)
    headers = sale.challenge.headers(seen, failed.code)
    return responses.as_challenge(responses.as_problem(request, body), headers)


def _page(request: HttpRequest, detail: str, failed: PaymentFailed) -> HttpResponse:
    nonce = page.new_nonce()
    context = {"told": detail, "again": "" if failed.retry == "never" else request.path}
    text = render_to_string("paywall/checkout/told.html", context, request)
    response = responses.as_answer(HttpResponse(text, status=402))
    page.protect(response, nonce)
    return response
