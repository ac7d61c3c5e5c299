"""A reader's balance: what is on it, how it is spent on a page, and how it is topped up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from paywall import crashpoints, holders, ledger
from paywall.catalog import offers
from paywall.checkout import balance, page, tickets
from paywall.checkout.origin import same_origin
from paywall.checkout.views import as_shown, private, told
from paywall.exceptions import NotForSale, Unavailable
from paywall.ledger import balances, receipts

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.models import BalanceEntry

ENTRIES = 25


@require_safe
@never_cache
@login_not_required
def show(request: HttpRequest) -> HttpResponse:
    """What a user or a browser has, what became of it, and what tops it up."""
    whose = balance.whose(request)
    ledger.collect_top_ups(whose.browser)
    mine = balances.mine(whose)
    text = request.GET.get("before", "")
    before = int(text) if text.isdecimal() and len(text) < 18 else None
    entries = balances.statement(mine, before, ENTRIES + 1) if mine else []
    next_ = balance.next_of(request)
    context = {
        "balances": [(one, page.price(one.amount, one.currency)) for one in mine],
        "may_ask_back": any(one.units and one.asked_back_at is None for one in mine),
        "has_asked_back": any(one.asked_back_at is not None for one in mine),
        "entries": [_shown(entry) for entry in entries[:ENTRIES]],
        "older": entries[ENTRIES - 1].pk if len(entries) > ENTRIES else None,
        "top_ups": balance.top_ups(next_ or request.path),
        "next": next_ if next_ != request.path else "",
    }
    response = render(request, "paywall/balance.html", context)
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def _shown(entry: BalanceEntry) -> dict[str, Any]:
    receipt = getattr(entry.payment, "receipt", None)
    return {
        "receipt": None if receipt is None else receipts.path_of(receipt.public_id),
        "entry": entry,
        "amount": page.price(entry.amount, entry.balance.currency),
        "title": entry.resource.title if entry.resource else entry.get_kind_display(),
        "url": entry.url,
    }


@same_origin
@login_not_required
@require_POST
def spend(request: HttpRequest) -> HttpResponse:
    """Pay for a page from a balance, and go there. A second click spends nothing more."""
    wanted = tickets.read(request.POST.get("ticket", ""))
    if wanted is None:
        return told(request, gettext("This page is too old. Open it again, and pay then."), 400)
    # Its cookie is how the page will know that this reader has paid.
    secret = holders.secret_of(request)
    try:
        sale = as_shown(request, offers.get(wanted.resource_id), wanted)
        if sale.is_top_up:
            raise Http404("A balance is not topped up from a balance.")
        purpose = ledger.Purpose(
            sale.resource_id, "GET", wanted.url, sale.policy, holders.hash_of(secret)
        )
        entry = balances.spend(
            balance.whose(request), sale.prices, purpose, by_request=sale.is_by_request
        )
    except NotForSale:
        return told(request, gettext("This cannot be bought at the moment."), 503)
    except Unavailable:
        # It is being opened, in another tab say.
        return private(redirect(wanted.url))
    if entry is None:
        text = gettext("There is not enough on your balance any more. Nothing was taken.")
        return told(request, text, 402)
    crashpoints.reach("balance: spent")
    response = private(redirect(wanted.url))
    holders.hand(request, response, secret)
    return response


@require_POST
@login_not_required
def ask_back(request: HttpRequest) -> HttpResponse:
    """A reader asks to have the rest refunded."""
    balances.ask_back(balance.whose(request))
    return redirect("paywall:balance")
