"""What is sold and Django's caches: nothing that one buyer paid for may be handed to another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from paywall import adapter, conf, django_internals
from paywall.entry import counting
from paywall.entry.told import ABOUT, FRONT, NONCE, SALE, UNTIL, WHERE
from paywall.visitors import rules

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.catalog.offers import ForSale

log = logging.getLogger(__name__)

CONDITIONAL = (
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
)


def keep_out(request: HttpRequest) -> None:
    """Have Django's cache middleware store nothing for this request: neither the site's, outside of
    the gate, nor a `@cache_page` inside, whose cache the site's would read from."""
    django_internals.never_cache_response_of(request)


def answer_whole(request: HttpRequest) -> None:
    """Have what was paid for go out as a whole: `ConditionalGetMiddleware` would make an empty 304
    of it, without the payment's headers, for a buyer who sends an ETag along."""
    for key in CONDITIONAL:
        request.META.pop(key, None)


def asked(request: HttpRequest, sale: ForSale) -> None:
    """Say to the front door that whoever asks this, and brings nothing, is told a price."""
    if FRONT in getattr(request, "scope", request.META):
        _tell(request, ABOUT, (sale.resource_id, counting.first_price(sale)[0]))
        _tell(request, WHERE, request.build_absolute_uri(request.path))
    elif conf.get().storm:
        _warn_of_no_door()


@conf.kept
def _warn_of_no_door() -> None:
    """Once a process."""
    log.warning(
        "PAYWALL['STORM'] does nothing: there is no front door. Put paywall.front.wsgi or .asgi "
        "around the application (docs/running.md)."
    )


def share(request: HttpRequest, sale: ForSale) -> None:
    """Say to the front door that whoever asks this, and brings nothing, is told the same until the
    price is looked up anew. `sale` is as it is sold to everyone. Not where it depends on who asks:
    audiences, free pages, the site's own prices, reasons and ways in."""
    if sale.tiers or sale.meter is not None or _site_has_a_say():
        return
    until = rules.same_for_all_until(sale.resource_id)
    _tell(request, UNTIL, min(sale.stale_at, until))
    _tell(request, SALE, sale)


def share_page(request: HttpRequest, sale: ForSale) -> None:
    """The same for the page that people pay on."""
    if not (conf.get().payment_methods or adapter.has_own("teaser")):
        share(request, sale)


def has_nonce(request: HttpRequest, nonce: str) -> None:
    """That word of the page is another one for each reader."""
    _tell(request, NONCE, nonce)


@conf.kept
def _site_has_a_say() -> bool:
    return bool(conf.get().ways_in or adapter.has_own("price") or adapter.has_own("may_pay"))


def _tell(request: HttpRequest, name: str, value: object) -> None:
    """Where there is a front door. It reads a dict of its own, which is still the same one where
    something between it and Django hands on a copy of what the server made of the request."""
    made = getattr(request, "scope", request.META)
    if FRONT in made:
        made[FRONT][name] = value
