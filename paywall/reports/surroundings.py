"""What stands around the site, for the doctor: proxies, CORS, caches, time-outs, who is told."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings as django_settings
from django.core.cache import InvalidCacheBackendError, caches
from django.utils import timezone

from paywall import conf, durable
from paywall.entry.exposed import exposed
from paywall.findings import Finding, fail, note, ok
from paywall.models import AlertMessage
from paywall.protocols import registry as protocols
from paywall.reports import alerts
from paywall.schedule import TIME_LIMIT

SERVERS_OWN = 30
"""Seconds after which gunicorn kills a silent worker, if nobody says otherwise."""

PROXYS_OWN = 60
"""Seconds for which nginx and most load balancers wait for an answer."""


def examine() -> Iterator[Finding]:
    yield from _proxies()
    yield from _cors()
    yield from _caches()
    yield from _time_outs()
    yield from _told()


def _proxies() -> Iterator[Finding]:
    header, count = django_settings.SECURE_PROXY_SSL_HEADER, conf.get().proxies
    if django_settings.DEBUG:
        return
    if count and not header:
        yield fail(
            f"{count} proxies stand before the site, and nothing says how they were asked",
            "Buyers are told http:// addresses, and refuse them. Have the proxy set "
            "X-Forwarded-Proto, and set SECURE_PROXY_SSL_HEADER.",
        )
    elif not count and not header and not django_settings.SECURE_SSL_REDIRECT:
        yield note(
            "no proxy is set up, and nothing leads to HTTPS",
            "If a proxy stands before the site: PAYWALL['PROXIES'] and SECURE_PROXY_SSL_HEADER. "
            "paywall_doctor --live URL compares what buyers are told.",
        )
    else:
        yield ok("proxies and HTTPS are set up")
    if "*" in django_settings.ALLOWED_HOSTS:
        todo = "Name your hosts in ALLOWED_HOSTS, or set PAYWALL['REALM']."
        yield fail("every Host is believed: a stranger chooses the address that buyers see", todo)


def _cors() -> Iterator[Finding]:
    """Whether pages of other sites can pay, as django-cors-headers is set up."""
    if "corsheaders" not in django_settings.INSTALLED_APPS:
        todo = "Only if pages of other sites shall pay yours: docs/selling.md, CORS."
        yield note("pages of other sites cannot pay: there are no CORS headers", todo)
        return
    from corsheaders.conf import conf as cors

    if not cors.CORS_ALLOW_ALL_ORIGINS and not (
        cors.CORS_ALLOWED_ORIGINS or cors.CORS_ALLOWED_ORIGIN_REGEXES
    ):
        yield note("django-cors-headers allows no origin", "Set CORS_ALLOWED_ORIGINS.")
        return
    allowed = {name.lower() for name in cors.CORS_ALLOW_HEADERS}
    seen = {name.lower() for name in cors.CORS_EXPOSE_HEADERS}
    lacking = [n for n in protocols.request_headers() if n.lower() not in allowed]
    hidden = [n for n in exposed(protocols.all_()).split(", ") if n.lower() not in seen]
    if lacking:
        todo = f"Add {', '.join(lacking)} to CORS_ALLOW_HEADERS (docs/selling.md)."
        yield fail("pages of other sites may not send a payment", todo)
    if hidden:
        todo = f"Add {', '.join(hidden)} to CORS_EXPOSE_HEADERS (docs/selling.md)."
        yield fail("pages of other sites do not see what is offered", todo)
    if not lacking and not hidden:
        yield ok("pages of other sites can pay")


def _caches() -> Iterator[Finding]:
    name = conf.get().pass_cache
    if not name:
        return
    key, word = f"paywall-doctor-{secrets.token_hex(8)}", secrets.token_hex(8)
    try:
        cache = caches[name]
        cache.set(key, word, 10)
        found = cache.get(key)
        cache.delete(key)
    except InvalidCacheBackendError:
        yield fail(f"there is no cache {name!r}", "Name one of CACHES in PAYWALL['PASS_CACHE'].")
    except Exception as error:
        todo = "Start it. Until then each reader's pass costs a query."
        yield fail(f"the cache of passes does not answer: {type(error).__name__}", todo)
    else:
        if found == word:
            yield ok("the cache of passes answers")
        else:
            yield fail("the cache of passes forgets at once", "Choose one that keeps what it gets.")


def longest_request() -> float:
    """Seconds that a paid request may take: to look up the means, to settle, and the view."""
    settings = conf.get()
    settle = settings.facilitator_connect_timeout + settings.facilitator_read_timeout
    return settle + settings.view_timeout


def _time_outs() -> Iterator[Finding]:
    """Ours against the server's and the broker's. A request that is cut off in the middle loses
    nothing; its buyer has to come back for what was paid."""
    longest, server = longest_request(), _servers()
    told = f"a paid request may take {longest:.0f} s"
    todo = (
        f"Give the server and the proxy that long (gunicorn --timeout {longest:.0f}, nginx "
        f"proxy_read_timeout {longest:.0f}s), or lower VIEW_TIMEOUT to what your views need."
    )
    if server is not None and 0 < server < longest:
        yield fail(f"{told}, and gunicorn kills its worker after {server:.0f} s", todo)
    elif longest > PROXYS_OWN:
        yield note(
            f"{told}: by itself gunicorn waits {SERVERS_OWN} s, and a proxy {PROXYS_OWN} s",
            todo,
        )
    else:
        yield ok(told)
    options = getattr(django_settings, "CELERY_BROKER_TRANSPORT_OPTIONS", None) or {}
    visible = options.get("visibility_timeout")
    if visible is not None and visible <= TIME_LIMIT:
        todo = "Use paywall.schedule.TRANSPORT_OPTIONS: more than a task may take."
        yield fail(f"Redis gives a task to a second worker after {visible} s", todo)


def _servers() -> float | None:
    """What gunicorn is told in this environment; None where it is told nothing."""
    words = shlex.split(os.environ.get("GUNICORN_CMD_ARGS", ""))
    for place, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in ("--timeout", "-t"):
            value = value or (words[place + 1] if place + 1 < len(words) else "")
            return float(value) if value.replace(".", "", 1).isdecimal() else None
    return None


def _told() -> Iterator[Finding]:
    """Whether what the owner should know arrives."""
    if not alerts.addresses():
        todo = "Add recipients of alerts in the admin: lost payments, say, are told to them."
        yield note("nobody is told of trouble", todo)
        return
    since = timezone.now() - timedelta(days=7)
    messages = AlertMessage.objects.using(durable.alias()).filter(alert__created_at__gte=since)
    given_up = messages.filter(given_up_at__isnull=False).order_by("-pk").first()
    if given_up is not None:
        todo = "Mend it, and send a test from the alerts in the admin."
        yield fail(f"alerts do not arrive at {given_up.get_channel_display()}", todo)
    else:
        yield ok("alerts have somewhere to go")
