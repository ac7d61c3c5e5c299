"""`manage.py paywall_sync`: make the resources that the code declares."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from paywall.catalog import declarations


class Command(BaseCommand):
    help = (
        "Make the resources that @payment_required declares with a price and that do not exist. "
        "What exists is left as the admin has it. `migrate` does the same."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        made = declarations.sync()
        for slug in made:
            self.stdout.write(f"made {slug}")
        if not made:
            self.stdout.write("All declared resources exist.")
