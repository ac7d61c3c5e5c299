"""Does the engine and the desk get slower on SQLite as payments pile up?

    python -m benchmarks.sqlite [--small 10000] [--large 1000000]

The demo's own settings, a fake year of trade of either size, and some payments that wait for the
engine. Each row is the median of several rounds in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .tables import table

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7

MEASURE = f"""
import json, statistics, time
from datetime import timedelta
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from paywall.reports import alerts, rollups, status
from paywall.settlement import worker
from paywall.models import Payment

settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
now = timezone.now()
# The same work for the engine, whatever the size: twenty that are due.
Payment.objects.waiting().update(due_at=now + timedelta(days=1))
open_ones = Payment.objects.order_by("-pk").values_list("pk", flat=True)[:20]
Payment.objects.filter(pk__in=list(open_ones)).move("settled", due_at=now, held_until=now)
owner = User.objects.create_superuser("bench")
client = Client(headers={{"host": "localhost"}})
client.force_login(owner)

def page(path):
    response = client.get(path)
    assert response.status_code == 200, (path, response.status_code)

asks = {{
    "engine: what is due": lambda: (worker.settle(), worker.sweep(), worker.undone().count()),
    "engine: is a chain unread": worker.unread_since,
    "status": status.take,
    "health": status.is_keeping_up,
    "alerts": alerts.tell,
    "dashboard, 30 days": lambda: page("/dashboard/"),
    "dashboard, 365 days": lambda: page("/dashboard/?period=365"),
    "receipts": lambda: page("/dashboard/receipts/"),
}}
rollups.rebuild()
found = {{}}
for name, ask in asks.items():
    ask()
    times = []
    for _ in range({ROUNDS}):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    found[name] = statistics.median(times) * 1000
print(json.dumps(found))
"""


def measure(payments: int) -> dict[str, float]:
    """Milliseconds by question, with so many payments."""
    with tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "PAYWALL_PAY_TO": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "PAYWALL_RPC_URL": "http://127.0.0.1:9",
            "PAYWALL_ALERT_EMAILS": "owner@example.org",
            "PAYWALL_LOG_LEVEL": "CRITICAL",
        }

        def manage(*arguments: str) -> str:
            command = [sys.executable, "manage.py", *arguments]
            done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
            return done.stdout.decode()

        manage("migrate", "-v", "0")
        manage("seed_demo")
        manage("paywall_fake", "--payments", str(payments))
        printed = manage("shell", "-v", "0", "-c", MEASURE)
        return dict(json.loads(printed.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    options = parser.parse_args()
    small, large = measure(options.small), measure(options.large)
    rows = [
        [name, f"{small[name]:.1f}", f"{large[name]:.1f}", f"{large[name] / small[name]:.2f}"]
        for name in small
    ]
    head = ["SQLite, ms", f"{options.small:,}", f"{options.large:,}", "times"]
    table(head, *rows)


if __name__ == "__main__":
    main()
