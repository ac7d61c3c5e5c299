"""What a pass costs beside the free view: `python -m benchmarks.passes`.

In process, on one core, SQLite and PostgreSQL: the same view free, and sold to a reader who has a
pass, by a query and by a shared cache (Redis). Both sides take turns in one run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.tables import table

ROUNDS = int(os.environ.get("ROUNDS", "2000"))
TURNS = 5


def view(request: Any) -> Any:
    from django.http import JsonResponse

    return JsonResponse({"read": "this"})


urlpatterns: list[Any] = []


def measure() -> None:
    """In a process of its own: one database, all kinds of readers."""
    import django
    from django.conf import settings

    database = os.environ.get("DATABASE_URL", "sqlite:///:memory:")
    import environ

    settings.configure(
        SECRET_KEY="for a benchmark",
        ROOT_URLCONF="benchmarks.passes",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        DATABASES={"default": environ.Env.db_url_config(database)},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "paywall"],
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
            "passes": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": os.environ["REDIS_URL"],
            },
        },
        PAYWALL={"FACILITATOR_URL": "http://127.0.0.1:9", "CACHE_SECONDS": 60},
    )
    django.setup()
    from django.core.management import call_command
    from django.test import Client, override_settings
    from django.urls import path

    from paywall.decorators import payment_required
    from paywall.holders import cookies
    from paywall.models import AccessPass, Price, Resource
    from paywall.rails.evm.terms import account_for

    call_command("migrate", verbosity=0)
    account_for("usdc-base-sepolia", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8").save()
    resource = Resource.objects.create(slug="item", title="Item", access="forever")
    Price.objects.create(resource=resource, amount="0.10")
    from benchmarks import passes  # not the module that runs

    passes.urlpatterns[:] = [path("free/", view), path("sold/", payment_required("item")(view))]
    AccessPass.objects.bulk_create(
        AccessPass(
            resource=resource, source="grant", holder=cookies.hash_of(f"secret {n}"), user=None
        )
        for n in range(20_000)
    )
    reader, stranger = Client(), Client()
    reader.cookies[cookies.COOKIE] = cookies.signer().sign("secret 777")

    def asked(client: Client, where: str, status: int) -> float:
        started = time.perf_counter()
        for _ in range(ROUNDS):
            assert client.get(where).status_code == status
        return (time.perf_counter() - started) / ROUNDS * 1e6

    cached = override_settings(PAYWALL={**settings.PAYWALL, "PASS_CACHE": "passes"})
    found: dict[str, list[float]] = {}
    for _ in range(TURNS):
        found.setdefault("the view, free", []).append(asked(reader, "/free/", 200))
        found.setdefault("402", []).append(asked(stranger, "/sold/", 402))
        found.setdefault("a pass, by a query", []).append(asked(reader, "/sold/", 200))
        with cached:
            found.setdefault("a pass, by the cache", []).append(asked(reader, "/sold/", 200))
    free = statistics.median(found["the view, free"])
    rows = []
    for what, times in found.items():
        took = statistics.median(times)
        rows.append([what, f"{took:.0f} us", f"{took - free:+.0f} us", f"{took / free:.2f}"])
    table([database.partition(":")[0], "a request", "more than free", "to free"], *rows)


def main() -> None:
    from tests.services import Postgresql, Redis

    with (
        tempfile.TemporaryDirectory() as folder,
        Redis() as redis,
        Postgresql() as postgresql,
    ):
        for url in (f"sqlite:///{folder}/passes.sqlite3", postgresql.url):
            env = {**os.environ, "DATABASE_URL": url, "REDIS_URL": redis.url}
            subprocess.run([sys.executable, "-m", "benchmarks.passes", "one"], env=env, check=True)


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["one"] else main()
