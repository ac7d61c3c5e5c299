"""`manage.py paywall_run`: what the Celery tasks do, in one process, for sites without a worker."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from paywall.privacy import retention
from paywall.reports import alerts, rollups
from paywall.schedule import (
    CONFIRM_EVERY,
    KNOW_BOTS_EVERY,
    PRUNE_EVERY,
    REFUND_EVERY,
    ROLL_UP_EVERY,
    SETTLE_EVERY,
    SWEEP_EVERY,
    TELL_EVERY,
)
from paywall.settlement import worker
from paywall.visitors import refresh

log = logging.getLogger("paywall.run")


def _roll_up() -> Counter[str]:
    """Today is added up in every round: that is no news."""
    rollups.roll_up()
    return Counter()


ROUNDS = [
    ("settle", worker.settle, SETTLE_EVERY),
    ("sweep", worker.sweep, SWEEP_EVERY),
    ("confirm", worker.confirm_payments, CONFIRM_EVERY),
    ("refund", worker.see_to_refunds, REFUND_EVERY),
    ("roll up", _roll_up, ROLL_UP_EVERY),
    ("tell", alerts.tell, TELL_EVERY),
    ("prune", retention.prune, PRUNE_EVERY),
    ("know bots", refresh.refresh, KNOW_BOTS_EVERY),
]


class Command(BaseCommand):
    help = "Confirm settled payments on the chain and resolve stuck ones, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="One round of each, then exit.")

    def handle(self, *args: Any, once: bool, verbosity: int, **options: Any) -> None:
        if once:
            failed = [name for name, work, _ in ROUNDS if not self._tried(name, work, verbosity)]
            if failed:
                raise CommandError(f"Failed, see the log: {', '.join(failed)}.")
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("Watching payments. Stop with Ctrl-C.")
        due = {name: 0.0 for name, _, _ in ROUNDS}
        while not stop.is_set():
            close_old_connections()
            for name, work, every in ROUNDS:
                if time.monotonic() < due[name]:
                    continue
                try:
                    self._round(name, work, verbosity)
                except Exception:
                    # Each round stands alone: the others go on, and this one is tried again.
                    log.exception("The round “%s” failed; it is tried again", name)
                    close_old_connections()
                due[name] = time.monotonic() + every
            stop.wait(max(0.0, min(due.values()) - time.monotonic()))

    def _tried(self, name: str, work: Any, verbosity: int) -> bool:
        try:
            self._round(name, work, verbosity)
        except Exception:
            log.exception("The round “%s” failed", name)
            return False
        return True

    def _round(self, name: str, work: Any, verbosity: int) -> None:
        counts = work()
        if any(counts.values()) or verbosity > 1:
            told = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
            self.stdout.write(f"{name}: {told or 'nothing to do'}")
