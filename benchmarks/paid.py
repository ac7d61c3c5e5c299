"""Paid requests by policy, database and number of buyers, beside the official parties.

    python -m benchmarks.paid [--policies background after before] [--databases postgresql sqlite]

Theirs: the official Flask middleware and the official facilitator. Ours: `after` and `before`
over the same official facilitator, and over our own; `background` with one worker that settles
and confirms meanwhile. Both under gunicorn with two workers of eight threads, each on a new node
that mines a block for every transaction. Payments are signed beforehand; each buyer has a wallet
and keeps one connection. The buyers, the servers, the databases and the node share the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from eth_account import Account

from benchmarks.tables import table
from site_demo.chain.local import USDC_UNIT, LocalChain, account, free_port, wait_for
from tests import services

ROOT = Path(__file__).resolve().parent.parent
SELLER = account(1).address
PATH = "/api/forecast/"
BUYERS = (1, 16)


@dataclass
class Parties:
    """What both sides share."""

    chain: LocalChain
    folder: Path
    facilitator: str
    wallets: list[Any]

    def start(
        self, url: str, env: dict[str, str], *command: str, nice: int = 0
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                ["nice", "-n", str(nice), sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, **env},
                stdout=log,
                stderr=log,
            )
        if url:
            wait_for(url, process)
        return process


def main() -> None:
    options = _options()
    rows = [["", "buyers", "requests a second", "to theirs", "p50 ms", "to theirs", "p99 ms"]]
    theirs: dict[int, tuple[float, float]] = {}
    with parties() as shared, _flask(shared) as url:
        for buyers in BUYERS:
            rate, p50, p99 = _load(url, shared.wallets[:buyers], 20 * buyers)
            theirs[buyers] = rate, p50
            rows.append(_row("x402 (Flask), its facilitator", buyers, rate, p50, p99, rate, p50))
    for database in options.databases:
        for policy in options.policies:
            for own in (False, True) if policy != "background" else (True,):
                whose = f", {'our own' if own else 'their'} facilitator"
                name = f"{policy}, {database}{'' if policy == 'background' else whose}"
                each = options.requests if policy == "background" else 20
                with parties() as shared, site(shared, database, policy, own) as url:
                    for buyers in BUYERS:
                        rate, p50, p99 = _load(url, shared.wallets[:buyers], each * buyers)
                        rows.append(_row(name, buyers, rate, p50, p99, *theirs[buyers]))
    table(*rows)


@contextlib.contextmanager
def parties() -> Iterator[Parties]:
    """A new node, with a facilitator, for each site: a long chain makes a slow node."""
    with LocalChain() as chain, tempfile.TemporaryDirectory() as folder:
        wallets = [Account.create() for _ in range(max(BUYERS))]
        for wallet in wallets:
            chain.mint(wallet.address, 1_000_000 * USDC_UNIT)
        port = free_port()
        shared = Parties(chain, Path(folder), f"http://127.0.0.1:{port}", wallets)
        facilitator = shared.start(
            f"{shared.facilitator}/supported",
            {},
            *("-m", "site_demo.chain.facilitator", "--port", str(port)),
            *("--rpc-url", chain.url, "--key", account(3).key.hex()),
        )
        try:
            yield shared
        finally:
            end(facilitator)


def _row(
    name: str, buyers: int, rate: float, p50: float, p99: float, their_rate: float, their_p50: float
) -> list[str]:
    return [
        *(name, str(buyers), f"{rate:.0f}", f"{rate / their_rate:.1f}", f"{p50:.1f}"),
        *(f"{p50 / their_p50:.2f}", f"{p99:.1f}"),
    ]


# ---------------------------------------------------------------------------- The load


def _load(url: str, wallets: list[Any], number: int) -> tuple[float, float, float]:
    """Requests a second, and the median and 99th percentile of their milliseconds."""
    from paywall.testing import Buyer, encode

    challenge = requests.get(url + PATH, timeout=30)
    each, warm = number // len(wallets), 3
    signed = [
        [encode(Buyer(wallet).payload(challenge)) for _ in range(each + warm)] for wallet in wallets
    ]
    host, port = url.split("//")[1].split(":")
    times: list[float] = []
    barrier = threading.Barrier(len(wallets) + 1)

    def buy(headers: list[str]) -> None:
        """One connection, and as little work as can be: the buyer is not what is measured."""
        took = []
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            for turn, header in enumerate(headers):
                if turn == warm:
                    barrier.wait()
                request = f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\n"
                request += f"PAYMENT-SIGNATURE: {header}\r\n\r\n"
                started = time.perf_counter()
                connection.sendall(request.encode())
                answer = read(connection)
                took.append(time.perf_counter() - started)
                assert answer.startswith(b"HTTP/1.1 200"), answer
        times.extend(took[warm:])

    threads = [threading.Thread(target=buy, args=(headers,)) for headers in signed]
    for thread in threads:
        thread.start()
    barrier.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    assert len(times) == each * len(wallets), "some request failed"
    p99 = statistics.quantiles(times, n=100)[-1]
    return len(times) / elapsed, statistics.median(times) * 1000, p99 * 1000


def read(connection: socket.socket) -> bytes:
    """One response, whose length its header says."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        more = connection.recv(65536)
        answer, body = answer + more, body + more
    return answer


# ------------------------------------------------------------------------------- Sites


@contextlib.contextmanager
def _flask(shared: Parties) -> Iterator[str]:
    env = {"PAYWALL_FACILITATOR_URL": shared.facilitator, "PAYWALL_PAY_TO": SELLER}
    with gunicorn(shared, "benchmarks.official:app", env) as url:
        yield url


@contextlib.contextmanager
def site(
    shared: Parties,
    database: str,
    policy: str,
    own: bool,
    application: str = "site_demo.wsgi",
    **more: str,
) -> Iterator[str]:
    """The demo's, under gunicorn; with `more` in its environment."""
    with contextlib.ExitStack() as stack:
        if database == "postgresql":
            url = stack.enter_context(services.postgresql())
        else:
            url = f"sqlite:///{shared.folder}/{policy}-{own}.sqlite3"
        env = {
            "DJANGO_SETTINGS_MODULE": "site_demo.settings",
            "SECRET_KEY": "only for the benchmark",
            "DATABASE_URL": url,
            "DATABASE_CONN_MAX_AGE": "600",
            "PAYWALL_PAY_TO": SELLER,
            "PAYWALL_RPC_URL": shared.chain.url,
            "PAYWALL_LOG_LEVEL": "WARNING",
            "PAYWALL_FACILITATOR_URL": "" if own else shared.facilitator,
            **({"PAYWALL_GAS_KEY": account(0).key.hex()} if own else {}),
            **more,
        }
        choose = (
            "from paywall.models import Resource; "
            f"Resource.objects.filter(slug='forecast').update(policy='{policy}')"
        )
        for command in (["migrate", "-v", "0"], ["seed_demo"], ["shell", "-v", "0", "-c", choose]):
            subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env={**os.environ, **env},
                check=True,
                capture_output=True,
            )
        if policy == "background":
            # The buyers wait for the site; nobody waits for the worker.
            worker = shared.start("", env, "manage.py", "paywall_run", nice=10)
            stack.callback(end, worker)
        yield stack.enter_context(gunicorn(shared, application, env))


@contextlib.contextmanager
def gunicorn(shared: Parties, application: str, env: dict[str, str]) -> Iterator[str]:
    """Two workers of eight threads."""
    url = f"http://127.0.0.1:{free_port()}"
    process = shared.start(
        f"{url}/api/hello/",
        env,
        *("-m", "gunicorn", application, "-b", url.split("//")[1], "-w", "2", "--threads", "8"),
        *("--keep-alive", "60", "--log-level", "warning"),
    )
    try:
        yield url
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    policies, databases = ["background", "after", "before"], ["postgresql", "sqlite"]
    parser.add_argument("--policies", nargs="+", choices=policies, default=policies)
    parser.add_argument("--databases", nargs="+", choices=databases, default=databases)
    parser.add_argument("--requests", type=int, default=200, help="for `background`, each buyer's")
    return parser.parse_args()


if __name__ == "__main__":
    main()
