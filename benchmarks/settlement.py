"""Settling for oneself, beside the official facilitator on the same node, in one run.

    python -m benchmarks.settlement [--payments 1000] [--theirs 100]

Payments a second of one worker, from claimed and delivered to settled in the ledger, and the gas
for each. Theirs: POST /settle to the official facilitator, one at a time and 16 at a time. The
node mines a block for every transaction. Ours runs on PostgreSQL.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from benchmarks.tables import table
from site_demo.chain.local import NETWORK, USDC, USDC_UNIT, LocalChain, account, free_port, wait_for
from tests import services

ROOT = Path(__file__).resolve().parent.parent
BATCHES = (1, 10, 50, 100)
SELLER = account(1).address


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
        _set_up(chain, database)
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
        bodies = [_body(payload) for payload in _payloads(buyer, number + at_once)]
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


def _offer() -> dict[str, Any]:
    return {
        "scheme": "exact",
        "network": NETWORK,
        "asset": USDC,
        "amount": "1000",
        "payTo": SELLER,
        "maxTimeoutSeconds": 3600,
        "extra": {"name": "USDC", "version": "2"},
    }


def _payloads(buyer: Any, number: int) -> list[dict[str, Any]]:
    from paywall.testing import Buyer

    signer = Buyer(buyer)
    found = []
    for _ in range(number):
        authorization = signer.authorize(_offer())
        signature = signer.sign(authorization, _offer())
        found.append({"signature": signature, "authorization": authorization})
    return found


def _body(payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "x402Version": 2,
        "paymentPayload": {"x402Version": 2, "payload": payload, "accepted": _offer()},
        "paymentRequirements": _offer(),
    }


# -------------------------------------------------------------------------------- Ours


def _set_up(chain: LocalChain, database: str) -> None:
    os.environ.update(
        DJANGO_SETTINGS_MODULE="site_demo.settings",
        SECRET_KEY="only for the benchmark",
        DATABASE_URL=database,
        PAYWALL_FACILITATOR_URL="",
        PAYWALL_GAS_KEY=account(0).key.hex(),
        PAYWALL_PAY_TO=SELLER,
        PAYWALL_RPC_URL=chain.url,
        PAYWALL_LOG_LEVEL="WARNING",
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with Path(os.devnull).open("w") as nowhere:
        call_command("seed_demo", stdout=nowhere)


def _ours(size: int, number: int) -> tuple[float, float]:
    """Payments a second, and gas for each, by one worker's rounds in batches of that size."""
    from django.conf import settings
    from django.test.utils import override_settings

    from paywall import engine
    from paywall.models import Payment, Transaction

    with override_settings(PAYWALL={**settings.PAYWALL, "BATCH_SIZE": size}):
        _on_credit(min(size, 20))
        engine.settle()  # warm
        Transaction.objects.all().delete()
        _on_credit(number)
        started = time.perf_counter()
        while Payment.objects.exclude(state="settled").exists():
            engine.settle()
        took = time.perf_counter() - started
    gas = sum(Transaction.objects.values_list("gas_used", flat=True))
    return number / took, gas / number


def _on_credit(number: int) -> None:
    """Payments as the gate leaves them behind: claimed on credit, delivered, not settled."""
    from paywall import ledger, offers, schemes
    from paywall.models import Resource
    from paywall.vocabulary import Credential

    resource = Resource.objects.get(slug="ticker")
    offer = offers.load("ticker").offers[0]
    purpose = ledger.Purpose(resource.pk, "GET", "http://localhost/api/ticker/")
    for payload in _payloads(account(2), number):
        credential = Credential("x402/2", "exact", NETWORK, payload)
        authorization = schemes.named("exact").read(credential, offer, time.time(), 5)
        payment, _ = ledger.claim(
            authorization, offer, purpose, protocol="x402/2", hold=60, ask_credit=True
        )
        ledger.delivered(payment)
        ledger.let_go(payment)


if __name__ == "__main__":
    main()
