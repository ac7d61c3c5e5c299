"""`manage.py paywall_prune`: forget what is older than `RETENTION` has it, now."""

from __future__ import annotations

import math
from typing import Any

from django.core.management.base import BaseCommand

from paywall import conf
from paywall.privacy import retention


class Command(BaseCommand):
    help = (
        "Forget what is personal and older than PAYWALL['RETENTION'] has it. Celery does the same."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not conf.get().retention:
            self.stdout.write("PAYWALL['RETENTION'] is not set: everything is kept.")
            return
        counts = retention.prune(math.inf)
        for what, days in conf.get().retention.items():
            number = counts[what]
            self.stdout.write(f"{what} after {days} days: {number} rows were looked through.")
