"""Can cards be taken? Asked of Stripe: the key, the currencies, and where it tells us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings

from paywall import conf
from paywall.findings import Finding, fail, note, ok
from paywall.mounts import path_of
from paywall.rails.base import Unreachable

from . import api
from .terms import RAIL
from .webhooks import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paywall.models import Account


def examine(accounts: Sequence[Account]) -> Iterator[Finding]:
    """All that stops cards. Never raises."""
    if not api.is_set_up():
        todo = "pip install 'django-paywall[stripe]', and PAYWALL['STRIPE']['API_KEY']."
        yield fail("cards: nobody takes them", todo)
        return
    try:
        endpoints = api.ask(lambda client: client.v1.webhook_endpoints.list({"limit": 100}))
    except Unreachable as error:
        todo = "Its key in PAYWALL['STRIPE'], and whether api.stripe.com is reachable from here."
        yield fail(f"Stripe does not answer: {error}", todo)
        return
    except api.NotTaken as error:
        todo = "A restricted key needs to read webhook endpoints to be asked this."
        yield note(f"Stripe does not say where it tells us: {error}", todo)
        return
    yield ok("Stripe takes the key")
    yield from _webhook([api.plain(one) for one in endpoints.data])


def _webhook(endpoints: list[dict[str, Any]]) -> Iterator[Finding]:
    path = path_of("paywall:hook", RAIL)
    if not path:
        todo = 'Add path("paywall/", include("paywall.urls")) to your URLconf.'
        yield fail("Stripe cannot tell of payments: paywall.urls is not mounted", todo)
        return
    ours = [
        one for one in endpoints if urlsplit(str(one.get("url"))).path == path and _is_here(one)
    ]
    if not ours:
        yield fail(
            f"no webhook of Stripe leads to {path}",
            "Who pays and closes the window is let in an hour later: add one at Stripe, under "
            "Developers > Webhooks (docs/cards.md).",
        )
        return
    live = [one for one in ours if one.get("status") == "enabled"]
    if not live:
        todo = "Stripe turns one off that failed for days: mend it, and turn it on there."
        yield fail("Stripe's webhook is turned off", todo)
        return
    told = {event for one in live for event in one.get("enabled_events", ())}
    missing = [] if "*" in told else [event for event in EVENTS if event not in told]
    if missing:
        todo = "Add them to the webhook at Stripe."
        yield fail(f"Stripe's webhook does not tell of {', '.join(missing)}", todo)
    elif not _is_signed():
        todo = "Set PAYWALL['STRIPE']['WEBHOOK_SECRET']: what it sends is refused until then."
        yield fail("Stripe's webhook has no secret here", todo)
    else:
        yield ok("Stripe tells of payments, refunds and disputes")


def _is_signed() -> bool:
    cards = conf.get().cards()
    return cards is not None and bool(cards.webhook_secret)


def _is_here(endpoint: dict[str, Any]) -> bool:
    """Whether it leads to a host of this site's."""
    host = urlsplit(str(endpoint.get("url"))).hostname or ""
    known = [name.lstrip(".") for name in django_settings.ALLOWED_HOSTS]
    return not known or "*" in known or any(host == k or host.endswith(f".{k}") for k in known)
