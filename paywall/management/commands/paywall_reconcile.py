"""`manage.py paywall_reconcile`: the chain's transfers into our accounts against the ledger."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from paywall.management.progress import bar
from paywall.rails.evm import reconciliation
from paywall.rails.evm.reconciliation import Comparison
from paywall.rails.evm.rpc import NodeError

SHOWN = 20
"""Of each kind of difference, for people; `--json` has all."""


class Command(BaseCommand):
    help = (
        "Compare the chain with the ledger, both ways, in blocks that will stay. Exits with 1 "
        "if something is missing or extra; with --strict also if other money came in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", help="A date or time in ISO 8601; all, if not given.")
        parser.add_argument("--json", action="store_true", help="For a program.")
        parser.add_argument("--strict", action="store_true", help="Nothing else may have come in.")

    def handle(self, *args: Any, **options: Any) -> None:
        since = _time(options["since"]) if options["since"] else None
        progress = (lambda done, total: None) if options["json"] else bar(sys.stderr, "blocks")
        try:
            found = reconciliation.reconcile(since, progress)
        except NodeError as error:
            raise CommandError(f"The chain cannot be read: {error}.", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps([comparison.json() for comparison in found]))
        else:
            self._tell(found)
        good = all(c.agrees and not (options["strict"] and c.unmatched) for c in found)
        if not good:
            sys.exit(1)

    def _tell(self, found: list[Comparison]) -> None:
        if not found:
            self.stdout.write("No account has a node: there is nothing to compare.")
        for comparison in found:
            self._tell_one(comparison)

    def _tell_one(self, found: Comparison) -> None:
        write, symbol = self.stdout.write, found.account.symbol
        write(f"{found.account}, blocks {found.first_block} to {found.last_block}")
        rows = [
            ("payments on the chain", found.on_chain, found.on_chain_units),
            ("payments in the ledger", found.in_ledger, found.in_ledger_units),
            ("on their way", found.in_flight, None),
            ("missing on the chain", len(found.missing), _sum(p.amount for p in found.missing)),
            ("extra on the chain", len(found.extra), _sum(t.value for _, t in found.extra)),
            ("other money in", len(found.unmatched), _sum(t.value for t in found.unmatched)),
            ("refunds", found.refunds, found.refunds_units),
            ("refunds missing", len(found.refunds_missing), None),
        ]
        for name, number, units in rows:
            amount = "" if units is None else f"{found.amount(units)} {symbol}"
            write(f"  {name:<24}{number:>10}{amount:>28}")
        for payment in found.missing[:SHOWN]:
            write(f"  missing: payment {payment.pk}, {payment.tx_hash}")
        for payment, transfer in found.extra[:SHOWN]:
            write(f"  extra: payment {payment.pk} is {payment.state}, {transfer.transaction}")
        for transfer in found.unmatched[:SHOWN]:
            amount = f"{found.amount(transfer.value)} {symbol}"
            write(f"  unmatched: {amount} from {transfer.payer}, {transfer.transaction}")
        for refund in found.refunds_missing[:SHOWN]:
            write(f"  refund missing: {refund.pk}, {refund.tx_hash}")
        if found.agrees:
            write(self.style.SUCCESS("  The chain and the ledger agree."))
        else:
            write(self.style.ERROR("  The chain and the ledger do not agree."))


def _sum(units: Any) -> int:
    return sum(map(int, units))


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
