"""`manage.py paywall_status`: how the engine is doing. Exits with 1 when it is behind."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from paywall.money import money
from paywall.reports import status


class Command(BaseCommand):
    help = "Show payments by state, what waits, what is owed and what needs a person."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="For a program.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = status.take()
        if options["json"]:
            self.stdout.write(json.dumps(found.json()))
        else:
            self._tell(found)
        if not found.is_keeping_up:
            sys.exit(1)

    def _tell(self, found: status.Status) -> None:
        for state, number in found.payments.items():
            self.stdout.write(f"{state:<12}{number:>10}")
        self.stdout.write("")
        waited = f"{found.longest_wait.total_seconds():.0f} s"
        self.stdout.write(f"waiting for the engine    {found.waiting} (the first for {waited})")
        self.stdout.write(f"paid, not collected       {found.owed}")
        self.stdout.write(f"needing a look            {found.needing_attention}")
        for currency, amount in found.exposure.items():
            self.stdout.write(f"on credit, not settled    {money(amount)} {currency}")
        self.stdout.write(f"transactions not mined    {found.unfinished_transactions}")
        self.stdout.write(f"refunds under way         {found.open_refunds}")
        for wallet in found.wallets:
            if wallet.coins is not None:
                low = self.style.ERROR("  LOW") if wallet.is_low else ""
                self.stdout.write(f"gas of {wallet}  {wallet.coins:.6f}{low}")
        for health in found.facilitators:
            trouble = f"{health.failures} failures: {health.last_trouble}"
            self.stdout.write(self.style.ERROR(f"facilitator {health.name}  {trouble}"))
        self.stdout.write("")
        if found.is_keeping_up:
            self.stdout.write(self.style.SUCCESS("The engine is keeping up."))
        else:
            self.stdout.write(
                self.style.ERROR(
                    "The engine is behind: is a Celery worker with beat, or paywall_run, running?"
                )
            )
