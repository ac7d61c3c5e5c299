"""Confirming many payments at once, by ranges of blocks.

    python -m benchmarks.confirm [--blocks 200] [--each 50]

Payments are settled for real, so many in each block; then one worker confirms them all. Counted
are its seconds and its calls of the node. On PostgreSQL.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import ours
from benchmarks.tables import table
from site_demo.chain.local import USDC_UNIT, LocalChain, account
from tests import services


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--each", type=int, default=50, help="payments in a block")
    options = parser.parse_args()
    number = options.blocks * options.each
    with LocalChain() as chain, services.postgresql() as database:
        chain.mint(account(2).address, 1_000_000 * USDC_UNIT)
        ours.set_up(chain, database)
        _settle(number, options.each)
        first, last = _blocks()
        calls, seconds = _confirm()
        per_block = calls / (last - first + 1)
        table(
            ["payments", "blocks", "seconds", "a second", "calls of the node", "calls a block"],
            [
                *(f"{number:,}", f"{last - first + 1}", f"{seconds:.1f}"),
                *(f"{number / seconds:,.0f}", f"{calls}", f"{per_block:.2f}"),
            ],
        )


def _settle(number: int, each: int) -> None:
    from django.conf import settings
    from django.test.utils import override_settings

    from paywall.models import Payment
    from paywall.settlement import worker

    wide = {"BATCH_SIZE": each, "EXPOSURE_TOTAL": "1000000", "EXPOSURE_PER_PAYER": "1000000"}
    with override_settings(PAYWALL={**settings.PAYWALL, **wide}):
        ours.on_credit(number)
        while Payment.objects.exclude(state="settled").exists():
            worker.settle()


def _blocks() -> tuple[int, int]:
    from django.db.models import Max, Min

    from paywall.models import Transaction

    found = Transaction.objects.aggregate(first=Min("block_number"), last=Max("block_number"))
    return found["first"], found["last"]


def _confirm() -> tuple[int, float]:
    """Calls of the node and seconds, until all are confirmed."""
    from paywall import effects
    from paywall.models import Payment
    from paywall.settlement import worker

    calls, real = 0, effects._send

    def counting(step: Any) -> Any:
        nonlocal calls
        calls += 1
        return real(step)

    effects._send = counting
    started = time.perf_counter()
    counts = worker.confirm_payments()
    took = time.perf_counter() - started
    effects._send = real
    assert not Payment.objects.exclude(state="confirmed").exists(), counts
    return calls, took


if __name__ == "__main__":
    main()
