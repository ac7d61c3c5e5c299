"""Sell a part of a page, show what is left of a metered month, and give away what was bought.

    {% load paywall %}
    <p>{{ article.teaser }}</p>
    {% paywalled article %}{{ article.body|linebreaks }}{% endpaywalled %}

What is between the tags is not even rendered for who has not paid. `paywall.middleware.
PaywallMiddleware` has to be installed: it keeps the page out of caches.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from paywall import conf
from paywall.catalog import audiences, offers
from paywall.checkout import page, tickets
from paywall.effects import run
from paywall.entry import inline
from paywall.entry.ways import passes
from paywall.exceptions import NotForSale, Refused, Unavailable
from paywall.models import PricedMixin, Resource

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.template.base import FilterExpression, NodeList, Parser, Token
    from django.template.context import Context

    from paywall.catalog.offers import ForSale

log = logging.getLogger("paywall.paywalled")

register = template.Library()


@register.tag
def paywalled(parser: Parser, token: Token) -> Paywalled:
    """`{% paywalled what %}...{% endpaywalled %}`: `what` is an object with `PricedMixin`, a
    Resource, or a Resource's slug. It has to be sold with a pass (access `period` or `forever`)."""
    parts = token.split_contents()
    if len(parts) != 2:
        raise template.TemplateSyntaxError("{% paywalled what %} takes what is sold")
    what = parser.compile_filter(parts[1])
    nodes = parser.parse(["endpaywalled"])
    parser.delete_first_token()
    return Paywalled(what, nodes)


class Paywalled(template.Node):
    def __init__(self, what: FilterExpression, nodes: NodeList) -> None:
        self.what, self.nodes = what, nodes

    def render(self, context: Context) -> SafeString:
        request = context.get("request")
        if request is None:
            return mark_safe("")  # a feed, a mail: nobody who could have paid
        if not hasattr(request, inline.MARKS):
            raise ImproperlyConfigured(
                "{% paywalled %} needs paywall.middleware.PaywallMiddleware in MIDDLEWARE."
            )
        what = self.what.resolve(context)
        try:
            sale = _sale(what)
            if sale.is_by_request:
                raise NotForSale(
                    f"Resource {sale.slug!r} has no pass: {{% paywalled %}} needs one."
                )
            if run(inline.let_in(request, sale)):
                inside = self.nodes.render(context)
                return mark_safe(f'<div class="paywall-content">{inside}</div>')  # noqa: S308
            sale = audiences.quote(request, sale).sale
            audiences.may_pay(request, sale)
        except NotForSale as error:
            log.error("%s: a part of the page cannot be sold: %s", request.path, error)
            return render_to_string("paywall/checkout/not_for_sale.html", {}, request)
        except (Refused, Unavailable) as reason:
            told = {"told": page.words(reason)}
            return render_to_string("paywall/checkout/not_for_sale.html", told, request)
        nonce = context.get("csp_nonce") or getattr(request, "csp_nonce", "") or ""
        here = request.build_absolute_uri()
        url = inline.unlock_url(request, sale)
        shown = page.context_for(
            request, sale, url, audiences.url_to_keep(request), str(nonce), next_=here
        )
        return render_to_string("paywall/checkout/paywalled.html", shown, request)


def _sale(what: Any) -> ForSale:
    """What is sold. Raises `NotForSale`."""
    if isinstance(what, PricedMixin):
        what = what.paywall_resource
    reference = what.pk if isinstance(what, Resource) else what
    if not isinstance(reference, str | int) or not reference:
        raise NotForSale(f"{what!r} is nothing that is sold.")
    return offers.get(reference)


@register.simple_tag(takes_context=True)
def paywall_free_left(context: Context) -> int | None:
    """How many more articles are free for this reader this month; None where this page was not
    one of them. `{% paywall_free_left as left %}`"""
    found: int | None = getattr(context.get("request"), "paywall_free_left", None)
    return found


@register.simple_tag(takes_context=True)
def paywall_gift(context: Context) -> SafeString:
    """A button that makes a gift link, for readers who have bought this page, on sites that allow
    it (`PAYWALL["GIFT_LINKS"]`)."""
    request: HttpRequest | None = context.get("request")
    sale: ForSale | None = getattr(request, "paywall_sale", None)
    if request is None or sale is None or sale.is_by_request or not conf.get().gift_links:
        return mark_safe("")
    paid = getattr(request, "paywall_is_paid", False)
    if not paid and passes.payment_of(request, sale.resource_id) is None:
        return mark_safe("")
    ticket = tickets.sign(sale, audiences.url_to_keep(request))
    return render_to_string("paywall/checkout/gift.html", {"ticket": ticket}, request)
