"""`manage.py paywall_rollup`: the dashboard's sums by day, added up anew from the payments."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from paywall.management.progress import bar
from paywall.reports import rollups


class Command(BaseCommand):
    help = (
        "Add up the dashboard's sums anew. Celery keeps them; this mends what was changed by hand."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        days = rollups.rebuild(bar(sys.stderr, "days"))
        self.stdout.write(f"{days} days were added up.")
