"""What the worker does so that bots are known: it fetches lists and keys, and asks reverse DNS."""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from datetime import timedelta
from ipaddress import ip_address

from django.db.models import Q
from django.utils import timezone

from paywall import conf, durable
from paywall.models import BotAddress, BotSource

from . import sources
from .addresses import prefixes
from .fetching import NotFetched, fetch_json
from .keys import keys_of

log = logging.getLogger(__name__)

LISTS_EVERY = timedelta(hours=12)
KEYS_EVERY = timedelta(hours=1)
ADDRESSES_EVERY = timedelta(days=7)
AGAIN_AFTER = timedelta(minutes=1)
"""After a failure; twice as long after each further one, up to a day."""

KEPT = timedelta(days=30)
"""For how long a stranger's directory is kept that nobody points to."""

GOOD_WITHOUT = timedelta(days=7)
"""For how long what was fetched is good while it cannot be fetched again."""

ROUND_SECONDS = 60
AT_ONCE = 50
DIRECTORY_TYPE = "application/http-message-signatures-directory+json"


def refresh() -> Counter[str]:
    """Fetch what is due. Returns how many sources were "fetched" or "failed", and addresses
    "looked up"."""
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + ROUND_SECONDS
    _agree_with_settings()
    using, now = durable.alias(), timezone.now()
    for source in (
        BotSource.objects.using(using).filter(due_at__lte=now).order_by("due_at")[:AT_ONCE]
    ):
        if time.monotonic() > deadline:
            break
        counts["fetched" if _fetch(source) else "failed"] += 1
    due = BotAddress.objects.using(using).filter(due_at__lte=now).order_by("due_at")
    for found in due[:AT_ONCE]:
        if time.monotonic() > deadline:
            break
        _look_up(found)
        counts["looked up"] += 1
    if counts:
        sources.forget()
    return counts


@durable.write
def _agree_with_settings() -> None:
    """There is a row for each URL of the settings, and none for what was taken out of them."""
    wanted: dict[str, str] = {}
    for bot in conf.get().known_bots().values():
        wanted |= dict.fromkeys(bot.addresses, BotSource.Kind.ADDRESSES.value)
        if bot.directory:
            wanted[bot.directory] = BotSource.Kind.DIRECTORY.value
    rows = BotSource.objects.using(durable.alias())
    there = dict(rows.values_list("url", "named"))
    new = [BotSource(kind=kind, url=url) for url, kind in wanted.items() if url not in there]
    rows.bulk_create(new, ignore_conflicts=True)
    rows.filter(url__in=wanted, named=False).update(named=True)
    now = timezone.now()
    unused = Q(named=False, used_at__lt=now - KEPT) | Q(named=True) & ~Q(url__in=wanted)
    rows.filter(unused).delete()
    # Who only said that it was a bot: it is put down anew if it says so again.
    BotAddress.objects.using(durable.alias()).filter(verified=False, due_at__lte=now).delete()


def _fetch(source: BotSource) -> bool:
    is_list = source.kind == BotSource.Kind.ADDRESSES
    try:
        if is_list:
            content = prefixes(fetch_json(source.url))
        else:
            # The URL is who the bot is: a redirect would make it somebody else.
            content = fetch_json(source.url, media_type=DIRECTORY_TYPE, redirects=0)
            if not keys_of(content):
                raise NotFetched("no keys in it")
    except (NotFetched, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        why = str(error) or type(error).__name__
        log.warning("%s cannot be fetched: %s", source.url, why)
        _failed(source, why)
        return False
    _fetched(source, content, LISTS_EVERY if is_list else KEYS_EVERY)
    return True


@durable.write
def _fetched(source: BotSource, content: object, every: timedelta) -> None:
    now = timezone.now()
    BotSource.objects.using(durable.alias()).filter(pk=source.pk).update(
        content=content, fetched_at=now, due_at=now + every, failures=0, error=""
    )


@durable.write
def _failed(source: BotSource, why: str) -> None:
    now = timezone.now()
    wait = min(AGAIN_AFTER * 2 ** min(source.failures, 11), timedelta(days=1))
    values = {"failures": source.failures + 1, "error": why[:200], "due_at": now + wait}
    rows = BotSource.objects.using(durable.alias()).filter(pk=source.pk)
    rows.update(**values)
    # An owner who withdraws a key is believed in the end, also where nobody answers any more.
    rows.filter(fetched_at__lt=now - GOOD_WITHOUT).update(content=None)


def _look_up(found: BotAddress) -> None:
    bot = conf.get().known_bots().get(found.bot)
    is_it = bot is not None and is_by_dns(found.address, bot.domains)
    again = AGAIN_AFTER if is_it is None else ADDRESSES_EVERY
    values = {"due_at": timezone.now() + again} | ({} if is_it is None else {"verified": is_it})
    BotAddress.objects.using(durable.alias()).filter(pk=found.pk).update(**values)


def is_by_dns(address: str, domains: tuple[str, ...]) -> bool | None:
    """Whether an address has a name in one of the domains, and that name has this address. None
    where nobody could say so just now."""
    try:
        name = socket.gethostbyaddr(address)[0].rstrip(".").lower()
        if not any(name == domain or name.endswith(f".{domain}") for domain in domains):
            return False
        found = {ip_address(str(entry[4][0])) for entry in socket.getaddrinfo(name, None)}
    except socket.gaierror as error:
        return None if error.errno == socket.EAI_AGAIN else False
    except socket.herror as error:
        return None if error.errno == _TRY_AGAIN else False
    except (OSError, UnicodeError):
        return None
    return ip_address(address) in found


_TRY_AGAIN = 2
"""`h_errno` of a name server that does not answer (netdb.h)."""
