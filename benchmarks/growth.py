"""How much a payment takes on disk, on PostgreSQL: `python -m benchmarks.growth [--payments 4000]`.

Each is signed, paid, delivered and confirmed as in a site; then tables and their indexes are
measured, and once more when all that `RETENTION` names is forgotten.
"""

from __future__ import annotations

import argparse
import os
from datetime import timedelta
from typing import Any

from benchmarks.tables import table
from tests.services import Postgresql

TABLES = ("payment", "paymentevent", "receipt", "accesspass")
MILLION = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=4_000)
    payments = parser.parse_args().payments
    with Postgresql() as server:
        os.environ |= {
            "DATABASE_URL": server.url,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        }
        import django

        django.setup()
        _measure(payments)


def _measure(payments: int) -> None:
    from django.core.management import call_command
    from django.test import override_settings

    from paywall.ledger import forgetting
    from paywall.models import Payment
    from paywall.testing import factories
    from paywall.testing.client import PayingClient
    from paywall.testing.facilitator import running

    call_command("migrate", verbosity=0)
    with running() as facilitator:
        changed = override_settings(
            PAYWALL={
                "FACILITATOR_URL": facilitator.url,
                "RPC_URLS": facilitator.nodes,
                "RETENTION": dict.fromkeys(forgetting.ALL, 1),
            }
        )
        changed.enable()
        factories.make_account()
        factories.make_resource("item")
        client = PayingClient()
        for number in range(payments):
            assert client.get(f"/item/?page={number}").status_code == 200
        from paywall.settlement import worker

        while Payment.objects.filter(state="settled").exists():
            worker.confirm_payments()
        before = _sizes(payments)
        _forget_all()
        after = _sizes(payments)
    rows = [[name, f"{before[name]:,.0f} MB", f"{after[name]:,.0f} MB"] for name in before]
    table(["a million payments", "all of them kept", "forgotten by RETENTION"], *rows)


def _forget_all() -> None:
    from django.db.models import F

    from paywall.models import Payment
    from paywall.privacy import retention

    Payment.objects.update(created_at=F("created_at") - timedelta(days=2))
    retention.prune(3_600)


def _sizes(payments: int) -> dict[str, float]:
    """In MB for a million, by table with its indexes; rewritten, as autovacuum comes close to."""
    from django.db import connection

    found: dict[str, Any] = {}
    with connection.cursor() as cursor:
        for name in TABLES:
            cursor.execute(f"VACUUM FULL paywall_{name}")
            cursor.execute(f"SELECT pg_total_relation_size('paywall_{name}')")
            found[name] = cursor.fetchone()[0] / payments * MILLION / 1e6
    return {**found, "in all": sum(found.values())}


if __name__ == "__main__":
    main()
