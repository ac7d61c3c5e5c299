"""What the owner's pages cost at volume, on PostgreSQL: `python -m benchmarks.desk`.

python -m benchmarks.desk [--payments 1000000] [--database postgres://...]

Without a database that `paywall_fake` filled already, it starts a server and fills one. Server
time is that of Django's test client, of the whole request: middleware, queries, templates.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from benchmarks.tables import table

REPEATS = 7
PAGES = [
    ("dashboard, today", "/dashboard/?period=today"),
    ("dashboard, 30 days", "/dashboard/?period=30"),
    ("dashboard, 365 days", "/dashboard/?period=365"),
    ("receipts, first page", "/dashboard/receipts/"),
    ("receipts, lost ones", "/dashboard/receipts/?state=lost"),
    ("receipts, of a week long ago", "/dashboard/receipts/?since={long_ago}&until={week_later}"),
    ("receipts, by number", "/dashboard/receipts/?q=12345"),
    ("receipts, by wallet", "/dashboard/receipts/?q={wallet}"),
    ("one receipt", "/dashboard/receipts/{receipt}/"),
    ("admin: resources", "/admin/paywall/resource/"),
    ("admin: payments", "/admin/paywall/payment/"),
    ("admin: receipts", "/admin/paywall/receipt/"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=1_000_000)
    parser.add_argument("--database", help="filled by paywall_fake already")
    options = parser.parse_args()
    with ExitStack() as stack:
        url = options.database
        if url is None:
            from tests.services import Postgresql

            url = stack.enter_context(Postgresql()).url
        os.environ |= {
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "site_demo.settings",
            "SECRET_KEY": "for a benchmark",
        }
        if options.database is None:
            for command in (["migrate", "-v0"], ["paywall_fake", f"--payments={options.payments}"]):
                subprocess.run([sys.executable, "manage.py", *command], check=True)
        measure()


def measure() -> None:
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from paywall import business_days
    from paywall.models import Payment, Receipt

    owner, _ = get_user_model().objects.get_or_create(
        username="bench", is_staff=True, is_superuser=True
    )
    client = Client(HTTP_HOST="localhost")
    client.force_login(owner)
    newest = Receipt.objects.select_related("payment").latest("issued_at", "pk")
    long_ago = business_days.today().replace(day=1)
    names = {
        "long_ago": f"{long_ago.replace(month=(long_ago.month + 5) % 12 + 1)}",
        "week_later": f"{long_ago.replace(month=(long_ago.month + 5) % 12 + 1, day=7)}",
        "wallet": newest.payment.payer,
        "receipt": newest.pk,
    }
    rows = []
    for title, path in PAGES:
        url = path.format(**names)
        client.get(url)
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            response = client.get(url)
            times.append(time.perf_counter() - started)
            assert response.status_code == 200, url
        with CaptureQueriesContext(
            connection,
        ) as captured:
            client.get(url)
        rows.append([title, f"{statistics.median(times) * 1000:.0f} ms", str(len(captured))])
    print(f"{Payment.objects.count():,} payments")
    table(["page", "server time, median", "queries"], *rows)
    export(client)


def export(client: object) -> None:
    """A million receipts, or all there are, as CSV and XLSX: how long, how large, and how much
    memory on top."""
    from paywall.models import Export, Receipt

    rows = []
    first = Receipt.objects.order_by("-issued_at").values_list("issued_at", flat=True)
    since = f"{first[min(1_000_000, Receipt.objects.count()) - 1]:%Y-%m-%d}"
    for format_ in ("csv", "xlsx"):
        started = client.post(
            f"/dashboard/exports/?since={since}", {"kind": "receipts", "format": format_}
        )  # type: ignore[attr-defined]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clock, size = time.perf_counter(), 0
        response = client.get(f"{started.url}file/")  # type: ignore[attr-defined]
        for part in response.streaming_content:
            size += len(part)
        seconds = time.perf_counter() - clock
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        rows.append(
            [
                format_,
                f"{Export.objects.latest('pk').written:,}",
                f"{seconds:.0f} s",
                f"{size / 1e6:.0f} MB",
                f"{more:.0f} MiB",
            ]
        )
    table(["export", "rows", "time", "size", "memory on top"], *rows)


if __name__ == "__main__":
    main()
