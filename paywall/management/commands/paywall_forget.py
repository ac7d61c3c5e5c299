"""`manage.py paywall_forget`: somebody wants to be forgotten."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from paywall.management import people
from paywall.privacy.people import forget

if TYPE_CHECKING:
    from argparse import ArgumentParser

SHOWN = 20


class Command(BaseCommand):
    help = (
        "Forget what says who a user or a wallet is, at once. Prices, numbers and references stay "
        "in the books; a user's passes close. Exits with 1 if something cannot be forgotten yet."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        people.add_arguments(parser)
        parser.add_argument("--no-input", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, user: str | None, wallet: str | None, **options: Any) -> None:
        person = people.named(user, wallet)
        number = person.payments().count()
        question = (
            f"Forget {user or wallet}, in {number} payments? Their passes close, and their "
            "payments cannot be refunded any more. Type yes: "
        )
        if not options["no_input"] and input(question).strip().lower() != "yes":
            self.stdout.write("Nothing was changed.")
            return
        outcome = forget(person)
        self.stdout.write(f"Forgotten in {outcome.payments} payments.")
        if outcome.passes:
            self.stdout.write(f"{outcome.passes} passes were closed.")
        for payment in outcome.left[:SHOWN]:
            self.stdout.write(f"Not yet: payment {payment.pk} is {payment.state}.")
        if len(outcome.left) > SHOWN:
            self.stdout.write(f"... and {len(outcome.left) - SHOWN} more.")
        for balance in outcome.balances:
            self.stdout.write(f"Not yet: {balance.worth} is on their balance. Refund it first.")
        if not outcome.is_whole:
            sys.exit(1)
