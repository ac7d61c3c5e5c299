"""Who signs in is asked whether what the browser bought before shall be the account's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.db import DatabaseError
from django.utils.html import format_html
from django.utils.translation import gettext

from paywall import durable
from paywall.holders.cookies import browser
from paywall.models import AccessPass, Balance
from paywall.mounts import path_of

if TYPE_CHECKING:
    from django.http import HttpRequest

log = logging.getLogger(__name__)


def offer(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    """On signing in: a message with the way to say yes, on sites that show messages. Nothing is
    adopted by itself, and nothing here keeps anybody from signing in."""
    if request is None or not hasattr(request, "_messages"):
        return
    try:
        holder = browser(request)
        if not holder or not _has_something(holder):
            return
        link = path_of("paywall:purchases")
    except DatabaseError:
        log.warning("Purchases of this browser could not be looked up", exc_info=settings.DEBUG)
        return
    if not link:
        return
    text = gettext("This browser has purchases from before you signed in.")
    told = format_html('{} <a href="{}">{}</a>', text, link, gettext("Keep them in your account"))
    messages.info(request, told)


def _has_something(holder: str) -> bool:
    mine = AccessPass.objects.using(durable.alias()).filter(holder=holder, user=None)
    balances = Balance.objects.using(durable.alias()).filter(holder=holder, units__gt=0)
    return mine.exists() or balances.exists()
