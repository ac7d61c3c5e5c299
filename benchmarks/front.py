"""402s and free pages a second over HTTP, beside the official Express middleware.

    python -m benchmarks.front [--seconds 5] [--rounds 3]

One process on each side, loaded by `wrk` with one thread and 32 connections that are kept open; the
best of interleaved rounds. The server, wrk and the facilitator share the machine's cores. Express
is installed by npm, wrk by apt where it is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import requests

from benchmarks.tables import table
from site_demo.chain.local import LocalChain, account, free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent
EXPRESS = ROOT / "benchmarks" / "express"
PAID, FREE = "/api/forecast/", "/api/hello/"
DOORS, PLAIN = "benchmarks.doors", "site_demo"

SITES = {
    "Express, official middleware": ("node",),
    "uvicorn, front door": ("uvicorn", f"{DOORS}:asgi"),
    "uvicorn, without": ("uvicorn", f"{PLAIN}.asgi:application"),
    "granian (WSGI), front door": ("granian", f"{DOORS}:wsgi"),
    "granian (WSGI), without": ("granian", f"{PLAIN}.wsgi:application"),
    "gunicorn, front door": ("gunicorn", f"{DOORS}:wsgi"),
    "gunicorn, without": ("gunicorn", f"{PLAIN}.wsgi:application"),
}


def main() -> None:
    options = _options()
    _install()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chain = stack.enter_context(LocalChain())
        env = _environment(stack, folder, chain)
        best: dict[str, dict[str, float]] = {name: {} for name in SITES}
        for _ in range(options.rounds):
            for name, command in SITES.items():
                with _served(command, env, folder) as url:
                    assert requests.get(url + PAID, timeout=10).status_code == 402, name
                    for path in (PAID, FREE):
                        rate = _load(url + path, options.seconds)
                        best[name][path] = max(rate, best[name].get(path, 0.0))
    theirs = best["Express, official middleware"]
    rows = [["one process", "402s a second", "to Express", "free pages a second", "us each"]]
    for name, found in best.items():
        rows.append(
            [
                *(name, f"{found[PAID]:.0f}", f"{found[PAID] / theirs[PAID]:.2f}"),
                *(f"{found[FREE]:.0f}", f"{1e6 / found[FREE]:.0f}"),
            ]
        )
    table(*rows)


def _install() -> None:
    if not (EXPRESS / "node_modules").exists():
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(command, cwd=EXPRESS, check=True, stdout=subprocess.DEVNULL)
    if shutil.which("wrk") is None:
        command = ["apt-get", "install", "-y", "wrk"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "granian", "uvloop", "httptools"], check=True
    )


def _environment(stack: contextlib.ExitStack, folder: Path, chain: LocalChain) -> dict[str, str]:
    facilitator = f"http://127.0.0.1:{free_port()}"
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "site_demo.settings",
        "SECRET_KEY": "only for the benchmark",
        "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
        "PAYWALL_FACILITATOR_URL": facilitator,
        "PAYWALL_PAY_TO": account(1).address,
        "PAYWALL_RPC_URL": chain.url,
        "PAYWALL_LOG_LEVEL": "WARNING",
        "NODE_ENV": "production",
    }
    for command in (["migrate", "-v", "0"], ["seed_demo"]):
        subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=env,
            check=True,
            capture_output=True,
        )
    command = [
        *(sys.executable, "-m", "site_demo.chain.facilitator"),
        *("--port", facilitator.rpartition(":")[2]),
        *("--rpc-url", chain.url, "--key", account(3).key.hex()),
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    wait_for(f"{facilitator}/supported", process)
    return env


@contextlib.contextmanager
def _served(command: tuple[str, ...], env: dict[str, str], folder: Path) -> Iterator[str]:
    port = str(free_port())
    server, *application = command
    whole = {
        "node": ["node", str(EXPRESS / "server.mjs")],
        "uvicorn": [
            *(sys.executable, "-m", "uvicorn", *application, "--port", port),
            *("--no-access-log", "--log-level", "warning"),
        ],
        "granian": [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", *application),
            *("--port", port, "--workers", "1", "--blocking-threads", "4", "--no-log"),
        ],
        "gunicorn": [
            *(sys.executable, "-m", "gunicorn", *application, "-b", f"127.0.0.1:{port}"),
            *("-w", "1", "--threads", "4", "--keep-alive", "60", "--log-level", "warning"),
        ],
    }[server]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            whole, cwd=ROOT, env={**env, "PORT": port}, stdout=log, stderr=log
        )
    try:
        wait_for(url + FREE, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _load(url: str, seconds: float) -> float:
    """Requests a second."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds:.0f}s", url]
    subprocess.run([*command[:3], "-d1s", url], check=True, capture_output=True)
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    assert found is not None, told
    return float(found[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
