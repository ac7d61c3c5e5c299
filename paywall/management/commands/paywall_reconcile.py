"""`manage.py paywall_reconcile`: what chains and Stripe say of our accounts against the ledger."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from paywall.management.progress import bar
from paywall.rails import registry
from paywall.rails.base import Comparison, Reconciles, Unreachable

SHOWN = 20
"""Of each kind of difference, for people; `--json` has all."""


class Command(BaseCommand):
    help = (
        "Compare the chain, in blocks that will stay, and Stripe's balance with the ledger, both "
        "ways. Exits with 1 if something is missing or extra; with --strict also if other money "
        "came in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", help="A date or time in ISO 8601; all, if not given.")
        parser.add_argument("--json", action="store_true", help="For a program.")
        parser.add_argument("--strict", action="store_true", help="Nothing else may have come in.")

    def handle(self, *args: Any, **options: Any) -> None:
        since = _time(options["since"]) if options["since"] else None
        progress = (lambda done, total: None) if options["json"] else bar(sys.stderr, "blocks")
        found: list[Comparison] = []
        try:
            for rail in registry.who_can(Reconciles):
                found += rail.reconcile(since, progress)
        except Unreachable as error:
            raise CommandError(f"It cannot be read: {error}.", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps([comparison.json() for comparison in found]))
        else:
            self._tell(found)
        strict = options["strict"]
        if not all(one.strictly_agrees if strict else one.agrees for one in found):
            sys.exit(1)

    def _tell(self, found: list[Comparison]) -> None:
        if not found:
            self.stdout.write(
                "No account has a node, and none takes cards: there is nothing to compare."
            )
        for comparison in found:
            for line in comparison.lines(SHOWN):
                self.stdout.write(line)
            if comparison.agrees:
                self.stdout.write(self.style.SUCCESS(f"  {comparison.name} and the ledger agree."))
            else:
                told = f"  {comparison.name} and the ledger do not agree."
                self.stdout.write(self.style.ERROR(told))


def _time(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
        if moment is None:
            date = parse_date(text)
            moment = datetime(date.year, date.month, date.day) if date else None  # noqa: DTZ001
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"--since is a date or time in ISO 8601, not {text!r}.")
    if timezone.is_naive(moment):
        return timezone.make_aware(moment)
    return moment.astimezone(UTC)
