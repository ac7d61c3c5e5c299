"""Settling for oneself, beside the official facilitator on the same node, in one run.

    python -m benchmarks.settlement [--payments 1000] [--theirs 100]

Payments a second of one worker, from claimed and delivered to settled in the ledger, and the gas
for each. Theirs: POST /settle to the official facilitator, one at a time and 16 at a time. The
node mines a block for every transaction. Ours runs on PostgreSQL.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from benchmarks import ours
from benchmarks.tables import table
from site_demo.chain.local import USDC_UNIT, LocalChain, account, free_port, wait_for
from tests import services

ROOT = Path(__file__).resolve().parent.parent
BATCHES = (1, 10, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=1000, help="ours, for each batch size")
    parser.add_argument("--theirs", type=int, default=100, help="theirs, for each way")
    options = parser.parse_args()
    with LocalChain() as chain, services.postgresql() as database:
        buyer = account(2)
        chain.mint(buyer.address, 1_000_000 * USDC_UNIT)
        chain.mine()
        rows = [["", "payments a second", "to theirs", "gas a payment", "to a single one"]]
        theirs = {n: _theirs(chain, buyer, options.theirs, n) for n in (1, 16)}
        best, single_gas = max(rate for rate, _ in theirs.values()), theirs[1][1]
        for at_once, (rate, gas) in theirs.items():
            rows.append(_row(f"official facilitator, {at_once} at a time", rate, best, gas, gas))
        ours.set_up(chain, database)
        for size in BATCHES:
            rate, gas = _ours(size, options.payments if size > 1 else options.payments // 5)
            rows.append(_row(f"one worker of ours, batches of {size}", rate, best, gas, single_gas))
        table(*rows)


def _row(name: str, rate: float, best: float, gas: float, single: float) -> list[str]:
    return [name, f"{rate:.0f}", f"{rate / best:.1f}", f"{gas:,.0f}", f"{gas / single:.2f}"]


# ------------------------------------------------------------------------------ Theirs


def _theirs(chain: LocalChain, buyer: Any, number: int, at_once: int) -> tuple[float, float]:
    """Payments a second, and gas for each, by the official facilitator."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "site_demo.chain.facilitator", "--port", str(port)]
    command += ["--rpc-url", chain.url, "--key", account(3).key.hex()]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(f"{url}/supported", process)
        bodies = [_body(payload) for payload in ours.payloads(buyer, number + at_once)]
        client = httpx.Client(timeout=60)

        def settle(body: dict[str, Any]) -> str:
            answer = client.post(f"{url}/settle", json=body).json()
            assert answer["success"], answer
            return str(answer["transaction"])

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(settle, bodies[:at_once]))  # warm
            started = time.perf_counter()
            hashes = list(pool.map(settle, bodies[at_once:]))
            took = time.perf_counter() - started
        gas = [
            int(chain.rpc("eth_getTransactionReceipt", hash_)["gasUsed"], 16) for hash_ in hashes
        ]
        return number / took, sum(gas) / number
    finally:
        process.terminate()
        process.wait()


def _body(payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "x402Version": 2,
        "paymentPayload": {"x402Version": 2, "payload": payload, "accepted": ours.offer()},
        "paymentRequirements": ours.offer(),
    }


# -------------------------------------------------------------------------------- Ours


def _ours(size: int, number: int) -> tuple[float, float]:
    """Payments a second, and gas for each, by one worker's rounds in batches of that size."""
    from django.conf import settings
    from django.test.utils import override_settings

    from paywall.models import Payment, Transaction
    from paywall.settlement import worker

    with override_settings(PAYWALL={**settings.PAYWALL, "BATCH_SIZE": size}):
        ours.on_credit(min(size, 20))
        worker.settle()  # warm
        Transaction.objects.all().delete()
        ours.on_credit(number)
        started = time.perf_counter()
        while Payment.objects.exclude(state="settled").exists():
            worker.settle()
        took = time.perf_counter() - started
    gas = sum(Transaction.objects.values_list("gas_used", flat=True))
    return number / took, gas / number


if __name__ == "__main__":
    main()
