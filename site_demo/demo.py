"""`make demo`: a local chain, the official facilitator, the magazine, a Celery worker, a buyer.

python -m site_demo.demo [--once] [--payments 50000] [--port 8402] [--chain-port 8545]
                         [--facilitator-port 4021]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from x402 import x402ClientSync
from x402.http.clients import x402_requests
from x402.http.utils import decode_payment_required_header, decode_payment_response_header
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client

from paywall.schedule import CHAIN, DESK, MONEY
from site_demo.chain.local import NETWORK, USDC, USDC_UNIT, LocalChain, account, wait_for

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var" / "demo"
FACILITATOR, SELLER, BUYER = account(0), account(1), account(2)


class Stopped(Exception):
    """Somebody pressed Ctrl-C, or sent SIGTERM."""


def main() -> int:
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        with contextlib.ExitStack() as stack:
            _run(options, stack)
    except Stopped:
        say("\nStopped. Nothing is left running.")
    return 0


def _run(options: argparse.Namespace, stack: contextlib.ExitStack) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)  # a new chain knows nothing of old payments
    FOLDER.mkdir(parents=True)
    site = f"http://localhost:{options.port}"

    step("A local chain that stands in for Base Sepolia, with play USDC")
    chain = stack.enter_context(LocalChain(options.chain_port, block_time=2))
    chain.mint(BUYER.address, 20 * USDC_UNIT)
    say(f"node        {chain.url}   (a block every 2 seconds)")
    say(f"buyer       {BUYER.address}   has {money(chain, BUYER.address)}")
    say(f"seller      {SELLER.address}   has {money(chain, SELLER.address)}")

    step("The official x402 facilitator")
    facilitator = f"http://127.0.0.1:{options.facilitator_port}"
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "site_demo.settings",
        "DEBUG": "True",
        "SECRET_KEY": "only for the demo",
        "DATABASE_URL": f"sqlite:///{FOLDER / 'site.sqlite3'}",
        "PAYWALL_NETWORK": NETWORK,
        "PAYWALL_ASSET": USDC,
        "PAYWALL_PAY_TO": SELLER.address,
        "PAYWALL_FACILITATOR_URL": facilitator,
        "PAYWALL_RPC_URL": chain.url,
        "PAYWALL_PLAY_WALLET": f"{chain.url}#{BUYER.address}" if options.wallet else "",
        "FACILITATOR_KEY": FACILITATOR.key.hex(),
    }
    start = [sys.executable, "-m"]
    arguments = ["--port", str(options.facilitator_port), "--rpc-url", chain.url]
    process = stack.enter_context(
        running("facilitator", [*start, "site_demo.chain.facilitator", *arguments], env)
    )
    wait_for(f"{facilitator}/supported", process)
    say(facilitator)

    step("The magazine: migrate, seed, serve; and a Celery worker with beat")
    commands = [["migrate", "-v", "0"], ["seed_demo"]]
    if options.payments:
        commands.append(["paywall_fake", "--payments", str(options.payments)])
    for command in commands:
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env, check=True)
    address = f"127.0.0.1:{options.port}"
    process = stack.enter_context(
        running("site", [*start, "gunicorn", "site_demo.wsgi", "-b", address, "-w", "2"], env)
    )
    wait_for(f"http://{address}/healthz", process)
    worker = ["celery", "-A", "site_demo", "worker", "--beat", "--concurrency", "1"]
    worker += ["-Q", f"{MONEY},{CHAIN},{DESK}"]
    worker += ["--loglevel", "info", "--schedule", str(FOLDER / "schedule")]
    stack.enter_context(running("worker", [*start, *worker], env))
    say(f"{site}   (logs in {FOLDER.relative_to(ROOT)}/)")

    receipts = [
        buy(f"{site}/api/forecast/?city=Lisbon", "The official client buys the weather"),
        buy(f"{site}/articles/slow-money/", "... and an article"),
    ]

    step("Celery finds the payments on the chain")
    for receipt in receipts:
        confirmed = wait_until_confirmed(receipt)
        paid = confirmed["payment"]
        number = f"receipt No. {confirmed['number']}"
        say(
            f"{paid['state']}   block {paid['block']}   {number}   {confirmed['resource']['title']}"
        )
    say(f"seller      {SELLER.address}   has {money(chain, SELLER.address)}")

    step("Where to click next")
    say(f"the magazine   {site}/articles/")
    say(f"an article     {site}/articles/deep-archive/   (a person sees the 402 as a page)")
    if options.wallet:
        say("               ... and pays it with a play wallet: two clicks, nothing to install")
    else:
        say("               ... with a play wallet to pay it: make demo DEMO=--wallet")
    say(f"by path rule   {site}/archive/1999/3/   (three a day are free)")
    say(f"a receipt      {receipts[0]}")
    say(f"the dashboard  {site}/dashboard/")
    say(f"the admin      {site}/admin/   demo / demo   (Paywall: resources, payments, receipts)")
    if not options.once:
        say("\nRunning until you press Ctrl-C.")
        while True:
            time.sleep(1)


def buy(url: str, title: str) -> str:
    """Buy with the official client, telling what goes over the wire; returns the receipt's URL."""
    step(title)
    say(f"GET {url}")
    challenge = requests.get(url, timeout=30)
    say(f"{challenge.status_code} {challenge.reason}")
    required = decode_payment_required_header(challenge.headers["PAYMENT-REQUIRED"])
    for offer in required.accepts:
        amount = int(offer.get_amount()) / USDC_UNIT
        say(f"offer       {amount:.2f} USDC on {offer.network} to {offer.pay_to}")

    client = x402ClientSync()
    register_exact_evm_client(client, EthAccountSigner(BUYER))
    started = time.monotonic()
    paid = x402_requests(client).get(url, timeout=60)
    took = time.monotonic() - started
    paid.raise_for_status()
    outcome = decode_payment_response_header(paid.headers["PAYMENT-RESPONSE"])
    receipt_url = str(paid.links["receipt"]["url"])
    say("GET again, with a signed authorization in PAYMENT-SIGNATURE")
    say(f"{paid.status_code} {paid.reason} after {took:.1f} s: {_first_line(paid)}")
    say(f"transaction {outcome.transaction}")
    say(f"receipt     {receipt_url}")
    say(f"state       {requests.get(receipt_url, timeout=30).json()['payment']['state']}")
    return receipt_url


def wait_until_confirmed(receipt_url: str, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        receipt: dict[str, Any] = requests.get(receipt_url, timeout=30).json()
        if receipt["payment"]["state"] == "confirmed":
            return receipt
        if time.monotonic() > deadline:
            message = (
                f"{receipt_url} is still {receipt['payment']['state']}: see var/demo/worker.log"
            )
            raise SystemExit(message)
        time.sleep(0.5)


@contextlib.contextmanager
def running(
    name: str, command: list[str], env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own session, so that Ctrl-C reaches only us; ended when we are."""
    with (FOLDER / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def money(chain: LocalChain, owner: str) -> str:
    return f"{chain.balance(owner) / USDC_UNIT:.2f} USDC"


def _first_line(response: requests.Response) -> str:
    if response.headers["Content-Type"].startswith("application/json"):
        return response.text
    title = response.text.partition("<h1>")[2].partition("</h1>")[0]
    return f"“{title}”, {len(response.content)} bytes of HTML"


def step(title: str) -> None:
    print(f"\n== {title}", flush=True)


def say(line: str) -> None:
    indent = "\n" if line.startswith("\n") else ""
    print(f"{indent}   {line.lstrip()}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A shop that sells, on a local chain.")
    parser.add_argument("--once", action="store_true", help="stop after the purchases")
    parser.add_argument(
        "--wallet", action="store_true", help="serve a play wallet, to buy in your own browser"
    )
    parser.add_argument(
        "--payments", type=int, default=0, help="a year of so many made-up payments to look at"
    )
    ports = {"port": 8402, "chain-port": 8545, "facilitator-port": 4021}
    for name, default in ports.items():
        variable = f"DEMO_{name.upper().replace('-', '_')}"
        port = int(os.environ.get(variable, default))
        parser.add_argument(f"--{name}", type=int, default=port, help=f"or {variable}")
    options = parser.parse_args()
    for name in ports:
        port = getattr(options, name.replace("-", "_"))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                variable = f"DEMO_{name.upper().replace('-', '_')}"
                parser.error(f"port {port} is in use: choose another with {variable}=...")
    return options


def _stop(*_: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
