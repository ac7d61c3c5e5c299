"""`manage.py paywall_stripe_events --since 2d`: what Stripe told while nobody listened."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from paywall.rails import registry
from paywall.rails.base import Hears, Unreachable

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

MOST = timedelta(days=30)
"""Stripe lists events for so long."""


class Command(BaseCommand):
    help = (
        "Fetch Stripe's events after an outage, and see to those that were not seen to: payments, "
        "refunds, disputes. It does nothing twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since", default="24h", help="30m, 24h, 2d, or a time as 2026-11-26T08:00"
        )

    def handle(self, *args: Any, since: str, **options: Any) -> None:
        at = _time(since)
        if timezone.now() - at > MOST:
            raise CommandError("Stripe lists the events of the last 30 days.")
        hears = registry.able("card", Hears)
        assert hears is not None
        try:
            counts = hears.catch_up(at)
        except Unreachable as error:
            text = f"Stripe cannot be asked: {error}. Nothing is lost; try again."
            raise CommandError(text) from error
        told = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
        self.stdout.write(f"Events since {at:%Y-%m-%d %H:%M %Z}: {told or 'none'}.")


def _time(text: str) -> datetime:
    if found := re.fullmatch(r"(\d{1,4})([mhd])", text):
        return timezone.now() - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        raise CommandError("--since is 30m, 24h, 2d, or a time as 2026-11-26T08:00")
    return make_aware(at) if is_naive(at) else at
