"""A site under load while everything around it breaks, and the books afterwards.

    python -m tests.soak [--sqlite] [--minutes 20] [--buyers 50] [--fault-every 10] [--seed 1]

PostgreSQL, Redis, a node with a block every two seconds, four web processes, two Celery workers and
beat, all real. Buyers buy by all three policies and come back with the same payment when they get
no answer; the owner has the dashboard open and takes exports. Every so many seconds something
breaks. At the end chain, ledger, receipts and
deliveries agree to the unit, or it says what does not and exits with 1.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from eth_account import Account

from paywall.schedule import CHAIN, DESK, MONEY
from paywall.testing import Buyer, encode
from site_demo.chain.local import USDC_UNIT, LocalChain, account, free_port, wait_for
from tests import services

ROOT = Path(__file__).resolve().parent.parent
SELLER = account(1).address
PATHS = {"/api/ticker/": 1_000, "/api/forecast/": 10_000, "/api/report/": 250_000}
PATIENCE = 200
"""Seconds after the last purchase in which everything shall have become final."""


@dataclass
class Shopper:
    """Who buys, and what became of it."""

    buyer: Buyer
    served: Counter[str] = field(default_factory=Counter)
    """Deliveries that arrived, and those whose answer was lost on the way, by path."""
    refused: Counter[str] = field(default_factory=Counter)
    open: list[tuple[str, str]] = field(default_factory=list)
    """Payments without an outcome: path and header."""

    def present(self, url: str, path: str, header: str) -> bool:
        """Present a payment once; whether its outcome is known now."""
        try:
            answer = requests.get(url + path, headers={"PAYMENT-SIGNATURE": header}, timeout=60)
        except requests.RequestException:
            return False
        if answer.status_code == 200:
            self.served[path] += 1
            return True
        if answer.status_code in (402, 409):
            code = str(answer.json()["code"])
            if code == "payment_already_used":
                self.served[path] += 1
            else:
                self.refused[code] += 1
            return True
        return False


class Owner:
    """Has the dashboard open all the time, and takes the books along. What arrives is whole, or the
    browser knows that it broke off."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.downloads = 0
        self.wrong: list[str] = []

    def works(self, deadline: float) -> None:
        session = None
        while time.monotonic() < deadline:
            try:
                session = session or self._signs_in()
                for page in ("/dashboard/", "/dashboard/receipts/"):
                    session.get(self.url + page, timeout=60)
                for kind in ("csv", "xlsx"):
                    self._takes(session, kind)
            except (requests.RequestException, KeyError):
                session = None  # something was killed just then
            time.sleep(0.5)

    def _signs_in(self) -> requests.Session:
        session, login = requests.Session(), f"{self.url}/admin/login/"
        session.get(login, timeout=30)
        words = {"username": "demo", "password": "demo"}
        token = {"csrfmiddlewaretoken": session.cookies["csrftoken"]}
        session.post(login, {**words, **token}, timeout=30)
        return session

    def _takes(self, session: requests.Session, kind: str) -> None:
        data = {"kind": "receipts", "format": kind}
        headers = {"X-CSRFToken": session.cookies["csrftoken"]}
        asked = session.post(f"{self.url}/dashboard/exports/", data, headers=headers, timeout=60)
        answer = session.get(f"{asked.url}file/", timeout=120)
        if answer.status_code != 200:
            return
        self.downloads += 1
        if kind == "csv":
            *rows, last = answer.text.rstrip().splitlines()
            if last != f"# {len(rows) - 1} rows":
                self.wrong.append(f"a CSV of {len(rows)} lines ends with {last[:60]!r}")
        elif not zipfile.is_zipfile(io.BytesIO(answer.content)):
            self.wrong.append(f"an XLSX of {len(answer.content)} bytes is no zip")


class Soak:
    """All the parts, and what is done to them."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.postgresql = None
        database = f"sqlite:///{self.folder / 'soak.sqlite3'}"
        if not options.sqlite:
            self.postgresql = stack.enter_context(services.Postgresql())
            database = self.postgresql.url
        self.redis = stack.enter_context(services.Redis())
        self.chain = stack.enter_context(LocalChain(block_time=2))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "site_demo.settings",
            "SECRET_KEY": "for the soak",
            "DATABASE_URL": database,
            "DEBUG": "on",  # the owner signs in
            "CELERY_BROKER_URL": self.redis.url,
            "PAYWALL_FACILITATOR_URL": "",
            "PAYWALL_GAS_KEY": account(0).key.hex(),
            "PAYWALL_PAY_TO": SELLER,
            "PAYWALL_RPC_URL": self.chain.url,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(self._stop_all)
        self.shoppers = [Shopper(Buyer(Account.create())) for _ in range(options.buyers)]
        self.chain.rpc("evm_setAutomine", True)
        for shopper in self.shoppers:
            self.chain.mint(shopper.buyer.account.address, 1000 * USDC_UNIT)
        self.chain.rpc("evm_setIntervalMining", 2)
        self.manage("migrate", "-v", "0")
        self.manage("seed_demo")
        self.owner = Owner(self.url)
        self.start_web()
        for name in ("worker 1", "worker 2", "beat"):
            self.start_celery(name)

    # ------------------------------------------------------------------------- Parts

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            check=check,
            capture_output=True,
            text=True,
        )

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_web(self) -> None:
        address = f"127.0.0.1:{self.port}"
        self._start(
            "web",
            *("gunicorn", "site_demo.wsgi", "-b", address, "-w", "4", "--threads", "4"),
            *("--timeout", "90", "--log-level", "warning"),
        )
        wait_for(f"{self.url}/healthz", self.processes["web"])

    def start_celery(self, name: str) -> None:
        kind = ["beat", "--schedule", str(self.folder / "schedule")]
        if name.startswith("worker"):
            kind = ["worker", "-Q", f"{MONEY},{CHAIN},{DESK}", "--concurrency", "1"]
            kind += ["-n", f"{name.replace(' ', '')}@%h", "--without-gossip", "--without-mingle"]
        self._start(name, "celery", "-A", "site_demo", *kind, "--loglevel", "warning")

    def kill(self, name: str) -> None:
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _stop_all(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is None:
                self.kill(name)

    def complaints(self) -> dict[str, list[str]]:
        """What each process logged as an error."""
        logs = {path.stem: path.read_text(errors="replace") for path in self.folder.glob("*.log")}
        return {
            name: [line for line in text.splitlines() if "ERROR" in line]
            for name, text in logs.items()
        }

    # ------------------------------------------------------------------------ Faults

    def kill_worker(self) -> None:
        name = self.random.choice(["worker 1", "worker 2"])
        self.kill(name)
        self.start_celery(name)

    def kill_web(self) -> None:
        self.kill("web")
        self.start_web()

    def restart_postgresql(self) -> None:
        if self.postgresql is not None:
            self.postgresql.restart(away=1)

    def restart_redis(self) -> None:
        self.redis.restart(away=1)

    def freeze_node(self) -> None:
        process = self.chain._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        process.send_signal(signal.SIGCONT)

    def reorganise(self) -> None:
        self.chain.rpc("anvil_reorg", self.random.choice([1, 3, 12]), [])

    def forget_transactions(self) -> None:
        self.chain.rpc("anvil_dropAllTransactions")

    # --------------------------------------------------------------------------- Run

    def run(self) -> None:
        deadline = time.monotonic() + 60 * self.options.minutes
        threads = [
            threading.Thread(target=self._shop, args=[shopper, deadline])
            for shopper in self.shoppers
        ]
        threads.append(threading.Thread(target=self.owner.works, args=[deadline]))
        for thread in threads:
            thread.start()
        faults = [
            self.kill_worker,
            self.restart_postgresql,
            self.reorganise,
            self.restart_redis,
            self.kill_web,
            self.freeze_node,
            self.forget_transactions,
        ]
        for turn in range(10**6):
            if time.monotonic() + self.options.fault_every > deadline:
                break
            time.sleep(self.options.fault_every)
            fault = faults[turn % len(faults)]
            say(f"{fault.__name__.replace('_', ' ')}")
            fault()
        for thread in threads:
            thread.join()

    def _shop(self, shopper: Shopper, deadline: float) -> None:
        while time.monotonic() < deadline:
            path = self.random.choice(list(PATHS))
            try:
                challenge = requests.get(self.url + path, timeout=30)
            except requests.RequestException:
                challenge = None
            if challenge is not None and challenge.status_code == 402:
                header = encode(shopper.buyer.payload(challenge))
                for attempt in range(4):
                    if shopper.present(self.url, path, header):
                        break
                    time.sleep(1 + attempt)
                else:
                    shopper.open.append((path, header))
            time.sleep(self.random.uniform(0.2, 1.0))

    # ------------------------------------------------------------------------- Books

    def settle_down(self) -> list[str]:
        """Let everybody collect, and everything become final. Returns what did not."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for shopper in self.shoppers:
                shopper.open = [
                    item for item in shopper.open if not shopper.present(self.url, *item)
                ]
            status = json.loads(self.manage("paywall_status", "--json", check=False).stdout)
            unfinished = sum(
                status["payments"][name] for name in ("claimed", "settling", "settled")
            )
            if not unfinished and not any(shopper.open for shopper in self.shoppers):
                return []
            time.sleep(2)
        return [f"not final after {PATIENCE} s: {status['payments']}"]

    def audit(self) -> tuple[list[str], dict[str, Any]]:
        """What does not agree, and the figures."""
        wrong = []
        reconciled = self.manage("paywall_reconcile", "--strict", "--json", check=False)
        (books,) = json.loads(reconciled.stdout)
        if reconciled.returncode:
            wrong.append(f"paywall_reconcile: {reconciled.stdout}")
        ledger = self._ledger()
        served = sum(sum(shopper.served.values()) for shopper in self.shoppers)
        if served != ledger["delivered"]:
            wrong.append(f"{served} deliveries arrived, the ledger has {ledger['delivered']}")
        if ledger["receipts"] != ledger["delivered"] + ledger["owed"]:
            wrong.append(f"{ledger['receipts']} receipts for {ledger['delivered']} deliveries")
        if ledger["numbers"] != [1, ledger["confirmed"], ledger["confirmed"]]:
            wrong.append(f"receipts are numbered {ledger['numbers']}")
        if ledger["lost"] or ledger["given away"]:
            wrong.append(f"{ledger['lost']} lost, {ledger['given away']} given away")
        if self.chain.balance(SELLER) != ledger["units"]:
            wrong.append(f"{self.chain.balance(SELLER)} units arrived, not {ledger['units']}")
        for shopper in self.shoppers:
            address = shopper.buyer.account.address
            spent = 1000 * USDC_UNIT - self.chain.balance(address)
            if spent != int(ledger["spent"].get(address, 0)):
                wrong.append(f"{address} spent {spent}, not {ledger['spent'].get(address, 0)}")
        wrong += self.owner.wrong
        if not self.owner.downloads:
            wrong.append("the owner got no download")
        exposure = json.loads(self.manage("paywall_status", "--json", check=False).stdout)
        if any(Decimal(amount) for amount in exposure["exposure"].values()):
            wrong.append(f"exposure is left: {exposure['exposure']}")
        return wrong, {**ledger, "served": served, "on chain": books["onChain"]}

    def _ledger(self) -> dict[str, Any]:
        code = """
import json
from collections import Counter
from django.db.models import Count, Max, Min
from paywall.models import Payment, Receipt
p = Payment.objects
spent = Counter()
for payer, amount in p.filter(state="confirmed").values_list("payer", "captured"):
    spent[payer] += int(amount)
numbers = Receipt.objects.aggregate(Min("number"), Max("number"), Count("number"))
delivered = p.filter(delivered_at__isnull=False)
print(json.dumps({
    "payments": p.count(),
    "confirmed": p.filter(state="confirmed").count(),
    "failed": p.filter(state="failed").count(),
    "lost": p.filter(state="lost").count(),
    "delivered": delivered.count(),
    "on credit": p.filter(on_credit=True).count(),
    "owed": p.filter(state="confirmed", delivered_at__isnull=True).count(),
    "given away": delivered.exclude(state="confirmed").count(),
    "receipts": Receipt.objects.count(),
    "numbers": [numbers["number__min"], numbers["number__max"], numbers["number__count"]],
    "units": sum(spent.values()),
    "spent": spent,
}))
"""
        printed = self.manage("shell", "-v", "0", "-c", code).stdout
        return dict(json.loads(printed.splitlines()[-1]))


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--buyers", type=int, default=50)
    parser.add_argument("--fault-every", type=float, default=10, help="seconds")
    parser.add_argument("--sqlite", action="store_true", help="in place of PostgreSQL")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", type=Path, help="where to copy the logs if something is wrong")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        say("setting up")
        soak = Soak(options, stack)
        say(f"{options.buyers} buyers for {options.minutes:g} minutes")
        soak.run()
        say("settling down")
        wrong = soak.settle_down()
        more, figures = soak.audit()
        wrong += more
        figures.pop("spent")
        for name, value in figures.items():
            say(f"{name:<12} {value}")
        refused = sum((shopper.refused for shopper in soak.shoppers), Counter())
        say(f"refused      {dict(refused)}")
        for line in wrong:
            say(f"WRONG        {line}")
        if wrong:
            for name, lines in soak.complaints().items():
                say(f"{name}: {len(lines)} errors, the last of them")
                print(*lines[-10:], sep="\n", flush=True)
        if wrong and options.logs:
            subprocess.run(["cp", "-r", str(soak.folder), str(options.logs)], check=True)
        if not wrong:
            say("chain, ledger, receipts and deliveries agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
