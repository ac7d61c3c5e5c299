"""What path rules cost a request: `python -m benchmarks.rules`.

The lookup alone, with 10 and 1,000 rules; and a whole request that no rule sells, without the
middleware, with it, and with it beside 1,000 rules and 1,000,000 resources on PostgreSQL.
"""

from __future__ import annotations

import io
import os
import statistics
import time
from typing import Any

from benchmarks.tables import table

ROUNDS = 3_000
RESOURCES = int(os.environ.get("RESOURCES", "1000000"))
RULES = 1_000


def lookups() -> None:
    from paywall.catalog.path_rules import Rules, read

    rows = []
    for number in (10, 100, RULES):
        known = Rules(read(n, f"/section-{n}/*/pages/**", "") for n in range(number))
        paths = {
            "no rule": "/api/hello/",
            "hit": f"/section-{number - 1}/2019/pages/a/b/c.html",
            "near miss": f"/section-{number - 1}/2019/other/a/b/c.html",
        }
        for what, path in paths.items():
            started = time.perf_counter()
            for _ in range(20_000):
                known.find(path)
            took = (time.perf_counter() - started) / 20_000
            rows.append([f"{number:,}", what, f"{took * 1e6:.1f} us"])
    table(["rules", "path", "lookup"], *rows)


def requests() -> None:
    from tests.services import Postgresql

    with Postgresql() as server:
        os.environ |= {
            "DATABASE_URL": server.url,
            "DJANGO_SETTINGS_MODULE": "site_demo.settings",
            "SECRET_KEY": "for a benchmark",
        }
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.test import Client, override_settings

        call_command("migrate", verbosity=0)
        call_command("seed_demo", verbosity=0, stdout=io.StringIO())
        with_it = list(settings.MIDDLEWARE)
        without = [m for m in with_it if not m.startswith("paywall.")]
        rows = []
        for title, middleware, fill in (
            ("without the middleware", without, False),
            ("with it, a rule", with_it, False),
            (f"with it, {RULES:,} rules, {RESOURCES:,} resources", with_it, True),
        ):
            if fill:
                fill_up(RESOURCES)
            with override_settings(MIDDLEWARE=middleware):
                client = Client(HTTP_HOST="localhost", REMOTE_ADDR="x")
                rows.append([title, "free", f"{median(client, '/api/hello/'):.0f} us"])
                if middleware is with_it:
                    took = median(client, "/archive/1999/3/")
                    rows.append([title, "402 by a rule", f"{took:.0f} us"])
        table(["middleware", "answer", "median"], *rows)


def fill_up(number: int) -> None:
    from paywall.models import Resource

    for start in range(0, number, 20_000):
        Resource.objects.bulk_create(
            Resource(slug=f"r{n}", title=f"R {n}", path=f"/rules/{n}/**" if n < RULES else "")
            for n in range(start, min(number, start + 20_000))
        )


def median(client: Any, path: str) -> float:
    for _ in range(50):
        client.get(path)
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        client.get(path)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    requests()
    lookups()
