"""Keep a database of this version, small and made up, as the last released one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection, connect
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


MORE = """
from datetime import timedelta
from django.utils import timezone
from paywall import ledger
from paywall.models import Account, Order, Payment, Price, Refund
from paywall.vocabulary import Claim, Offer, Paid
first, *others = Payment.objects.filter(state="confirmed").order_by("pk")[:3]
ledger.grant_pass(first, 3600, "h" * 64)
Refund.objects.create(payment=first, amount="1", reason="made up", is_ours_to_send=False,
    state="confirmed", reference="0x" + "5" * 64, closed_at=timezone.now())
Payment.objects.filter(pk=first.pk).update(refunded="1")
for number, payment in enumerate(others):
    purpose = ledger.Purpose(payment.resource_id, "GET", payment.url, holder="h" * 64)
    order = ledger.open_order(payment.taken_offer, purpose, seconds=600)
    if number:
        paid = Paid("0x" + "6" * 64, True, 1)
        ledger.order_paid(order, Claim("made up", payment.taken_offer.amount), paid)
"""


def main() -> None:
    (migration,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.sqlite3"
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "site_demo.settings",
            "SECRET_KEY": "for a test",
            "DATABASE_URL": f"sqlite:///{file}",
        }
        for command in (
            ["migrate", "-v", "0"],
            ["paywall_fake", "--payments", "80", "--resources", "12", "--until", "2026-11-01"],
            ["shell", "-v", "0", "-c", MORE],
            ["paywall_rollup"],
        ):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env, check=True)
        with closing(connect(file)) as database:
            tables = _tables(database)
    kept = HERE / f"{migration}.json"
    kept.write_text(json.dumps(tables, indent=0, ensure_ascii=False) + "\n")
    print(f"{kept}: {sum(len(table['rows']) for table in tables.values())} rows")


def _tables(database: Connection) -> dict[str, Any]:
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found = {}
    for (name,) in sorted(names):
        if name.startswith("paywall_"):
            rows = database.execute(f"SELECT * FROM {name}")
            columns = [column[0] for column in rows.description]
            found[name] = {"columns": columns, "rows": [list(row) for row in rows]}
    return {name: table for name, table in found.items() if table["rows"]}


if __name__ == "__main__":
    main()
