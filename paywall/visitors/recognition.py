"""Who asks, as far as it is proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paywall import conf, holders

from . import claims, signatures, sources
from .visitor import Kind, Proof, Visitor

if TYPE_CHECKING:
    from django.http import HttpRequest

    from paywall.bots import Bot

    from .addresses import Address


def is_signed(request: HttpRequest) -> bool:
    """Whether it says that a bot has signed it, where that is looked at."""
    return conf.get().web_bot_auth != "off" and signatures.is_signed(request)


def can_be_proven() -> bool:
    """Whether any bot can prove to be it here."""
    return bool(conf.get().bots) or conf.get().web_bot_auth != "off"


def of(request: HttpRequest) -> Visitor:
    """Who asks. The same for one request however often it is asked. May query the database.

    Raises `Refused` or `Unavailable` for a signature that is not good: that is no proof of another.
    """
    found: Visitor | None = getattr(request, "_paywall_visitor", None)
    if found is None:
        found = request._paywall_visitor = _of(request)  # type: ignore[attr-defined]
    return found


def noticed(request: HttpRequest) -> Visitor | None:
    """Who asks, if somebody wanted to know."""
    return getattr(request, "_paywall_visitor", None)


def _of(request: HttpRequest) -> Visitor:
    if is_signed(request):
        signed = signatures.visitor_of(request)
        if signed is not None:
            return signed
    agent = request.META.get("HTTP_USER_AGENT", "")
    bot = claims.named_by(agent)
    if bot is not None:
        address = holders.address_of(request)
        if address is not None:
            sources.get()
            if is_listed(bot, address):
                return Visitor(Kind.VERIFIED, bot.name, bot.purpose, Proof.ADDRESS)
            if bot.domains and sources.is_by_dns(bot.name, address):
                return Visitor(Kind.VERIFIED, bot.name, bot.purpose, Proof.DNS)
    return claims.claimed_by(agent)


def is_listed(bot: Bot, address: Address) -> bool:
    """Whether a bot's owner publishes an address as its own, as far as was read. No query."""
    known = sources.last().ranges
    return any(address in known[url] for url in bot.addresses if url in known)
