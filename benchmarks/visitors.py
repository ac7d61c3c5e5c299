"""What it costs to know who knocks, and what the front door costs a page that is not sold.

    python -m benchmarks.visitors [--rounds 5]

In process, on one core; the best of several rounds, in microseconds. The door is measured around an
application that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.tables import table

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
GPTBOT = "Mozilla/5.0 AppleWebKit/537.36; compatible; GPTBot/1.2; +https://openai.com/gptbot"
LIST = "https://openai.com/gptbot.json"


def main() -> None:
    options = _options()
    with TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": f"sqlite:///{Path(folder, 'site.sqlite3')}",
        }
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.test import override_settings

        bots: dict[str, Any] = {"GPTBot": {}, "Googlebot": {}, "bingbot": {}, "ClaudeBot": {}}
        wanted = {"CRAWL_LOG": True, "WEB_BOT_AUTH": "verify", "BOTS": bots}
        override_settings(PAYWALL={**settings.PAYWALL, **wanted}).enable()
        call_command("migrate", verbosity=0)
        rows = [["", "us"]]
        for name, work, number in (*_visitors(), *_doors()):
            best = min(timeit.repeat(work, number=number, repeat=options.rounds))
            rows.append([name, f"{best / number * 1e6:.2f}"])
        for name, application in _asgi_doors():
            best = min(asyncio.run(_asked(application)) for _ in range(options.rounds))
            rows.append([name, f"{best * 1e6:.2f}"])
    table(*rows)


def _visitors() -> list[tuple[str, Callable[[], Any], int]]:
    from django.test import RequestFactory

    from paywall import visitors
    from paywall.entry import counting
    from paywall.models import BotSource
    from paywall.visitors import claims, crawl_log, sources
    from tests.visitors.bots import DIRECTORY, SigningBot

    bot = SigningBot()
    ranges = [f"20.{at}.{at}.0/{bits}" for at in range(200) for bits in (24, 28)]
    BotSource.objects.create(kind="addresses", url=LIST, content=ranges)
    BotSource.objects.create(kind="directory", url=DIRECTORY, content=bot.directory())
    sources.get()
    crawl_log.EVERY = 1e9
    crawl_log.forget()
    signed = RequestFactory(headers=bot.headers(nonce="")).get("/item/")
    listed = RequestFactory(headers={"User-Agent": GPTBOT}).get("/item/", REMOTE_ADDR="20.7.7.3")

    def recognise(request: Any) -> visitors.Visitor:
        request.__dict__.pop("_paywall_visitor", None)
        return visitors.of(request)

    assert recognise(signed).is_verified
    assert recognise(listed).is_verified
    about = 1, "USD"
    return [
        ("counting a request", lambda: counting.asked(about, CHROME, "20.7.7.3", ""), 200_000),
        ("the same of a bot", lambda: counting.asked(about, GPTBOT, "20.7.7.3", ""), 200_000),
        ("a User-Agent that was seen before", lambda: claims.claimed_by(CHROME), 200_000),
        ("a new one", lambda: claims.claimed_by(f"{CHROME} {secrets.token_hex(4)}"), 2_000),
        ("a bot by its address, of 400 ranges", lambda: recognise(listed), 20_000),
        ("a bot by its signature (Ed25519)", lambda: recognise(signed), 1_000),
    ]


def _doors() -> list[tuple[str, Callable[[], Any], int]]:
    from django.test import RequestFactory

    from paywall import front

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x"]

    environ = RequestFactory(headers={"User-Agent": CHROME}).get("/api/hello/").environ

    def ask(door: Any) -> None:
        list(door(dict(environ), lambda *_: None))

    behind = front.wsgi(application)
    return [
        ("an empty WSGI application", lambda: ask(application), 100_000),
        ("the same behind the front door", lambda: ask(behind), 100_000),
    ]


def _asgi_doors() -> list[tuple[str, Any]]:
    from paywall import front

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    return [
        ("an empty ASGI application", application),
        ("the same behind the front door", front.asgi(application)),
    ]


async def _asked(application: Any, number: int = 50_000) -> float:
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "root_path": "",
        "query_string": b"",
        "path": "/api/hello/",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"testserver"), (b"user-agent", CHROME.encode())],
    }

    async def send(_: Any) -> None:
        pass

    started = time.perf_counter()
    for _ in range(number):
        await application(dict(scope), None, send)
    return (time.perf_counter() - started) / number


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
