"""What the gate costs, beside the official Flask middleware, in one run.

    python -m benchmarks.gate [--rounds 7] [--paid 40]

Unpaid: time that the gate adds to a request in process, through each framework's own WSGI
application (a free view against a gated one; the best of several interleaved rounds). Paid: a
whole request over HTTP, one at a time, gunicorn with two workers on both sides, one and the same
facilitator and node (a block for every transaction).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from benchmarks.tables import table

ROOT = Path(__file__).resolve().parent.parent
SELLER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def main() -> None:
    options = _options()
    from site_demo.chain.local import USDC_UNIT, LocalChain, account, free_port, wait_for

    with LocalChain() as chain, tempfile.TemporaryDirectory() as folder:
        buyer = account(2)
        chain.mint(buyer.address, 1000 * USDC_UNIT)
        chain.mine()
        facilitator_port = free_port()
        facilitator = f"http://127.0.0.1:{facilitator_port}"
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "site_demo.settings",
            "SECRET_KEY": "only for the benchmark",
            "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
            "PAYWALL_FACILITATOR_URL": facilitator,
            "PAYWALL_PAY_TO": SELLER,
            "PAYWALL_RPC_URL": chain.url,
            "FACILITATOR_KEY": account(0).key.hex(),
        }
        started = []

        def start(url: str, *command: str) -> None:
            with Path(folder, "log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", *command], cwd=ROOT, env=env, stdout=log, stderr=log
                )
            started.append(process)
            wait_for(url, process)

        try:
            start(
                f"{facilitator}/supported",
                *("site_demo.chain.facilitator", "--port", str(facilitator_port)),
                *("--rpc-url", chain.url),
            )
            for command in (["migrate", "-v", "0"], ["seed_demo"]):
                subprocess.run(
                    [sys.executable, "manage.py", *command],
                    cwd=ROOT,
                    env=env,
                    check=True,
                    capture_output=True,
                )

            print("Unpaid, in process: microseconds a request\n")
            names = ("paywall", "front", "flask")
            ours, front, theirs = (_in_process(name, options.rounds, env) for name in names)
            table(
                ["", "free view", "gated (402)", "the gate adds"],
                ["paywall (Django)", *ours],
                ["the same behind paywall.front", *front],
                ["x402 (Flask)", *theirs],
            )
            share = float(front[1]) / float(theirs[1])
            print(f"\nA 402 by the front door takes {share:.2f} of Flask's.")
            for name in ("paywall", "front"):
                print(f"An article's 402 ({name}): {_in_process(name, 3, env, ARTICLE)[1]} us")

            ports = {"paywall": free_port(), "flask": free_port()}
            applications = {"paywall": "site_demo.wsgi", "flask": "benchmarks.official:app"}
            for name, port in ports.items():
                start(
                    f"http://127.0.0.1:{port}/api/hello/",
                    *("gunicorn", applications[name], "-b", f"127.0.0.1:{port}", "-w", "2"),
                    *("--log-level", "warning"),
                )
            times: dict[str, list[float]] = {name: [] for name in (*ports, "settle")}
            session = requests.Session()
            for turn in range(options.paid + 3):
                for name, port in ports.items():
                    took = _buy(f"http://127.0.0.1:{port}/api/forecast/", buyer)
                    if turn >= 3:  # the first ones warm up both sides
                        times[name].append(took * 1000)
                url = f"http://127.0.0.1:{ports['paywall']}/api/forecast/"
                took = _settle(session, facilitator, url, buyer)
                if turn >= 3:
                    times["settle"].append(took * 1000)
            print(f"\nPaid, over HTTP, one at a time ({options.paid} each, interleaved): ms\n")
            medians = {name: statistics.median(values) for name, values in times.items()}
            rows = [
                [
                    TITLES[name],
                    f"{medians[name]:.1f}",
                    f"{statistics.quantiles(values, n=20)[-1]:.1f}",
                    f"{medians[name] / medians['flask']:.2f}",
                ]
                for name, values in times.items()
            ]
            table(["", "p50", "p95", "p50 to theirs"], *rows)
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()


TITLES = {
    "paywall": "paywall (Django), `after`",
    "flask": "x402 (Flask)",
    "settle": "the facilitator's `/settle` alone",
}


def _settle(session: requests.Session, facilitator: str, url: str, buyer: Any) -> float:
    """Seconds that the facilitator takes for a payment of the same kind."""
    from paywall.testing import Buyer

    payload = Buyer(buyer).payload(requests.get(url, timeout=30))
    body = {
        "x402Version": 2,
        "paymentPayload": payload,
        "paymentRequirements": payload["accepted"],
    }
    started = time.perf_counter()
    response = session.post(f"{facilitator}/settle", json=body, timeout=60)
    took = time.perf_counter() - started
    assert response.json()["success"], response.text
    return took


def _buy(url: str, buyer: Any) -> float:
    """Seconds for the paid request alone: the challenge and the signature came before."""
    from paywall.testing import Buyer, encode

    challenge = requests.get(url, timeout=30)
    header = encode(Buyer(buyer).payload(challenge))
    with requests.Session() as session:
        started = time.perf_counter()
        response = session.get(url, headers={"PAYMENT-SIGNATURE": header}, timeout=60)
        took = time.perf_counter() - started
    assert response.status_code == 200, response.text
    return took


# ------------------------------------------------------------------------------ In process


ARTICLE = "/articles/"
"""Where the demo's list of articles is: the first that it links to is measured."""


def _in_process(
    name: str, rounds: int, env: dict[str, str], gated: str = "/api/forecast/"
) -> list[str]:
    """Each in an interpreter of its own, so that neither pays for the other's imports."""
    command = [sys.executable, "-m", "benchmarks.gate", "--measure", name, "--gated", gated]
    output = subprocess.run(
        [*command, "--rounds", str(rounds)],
        cwd=ROOT,
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return output.splitlines()[-1].split()


def measure(name: str, rounds: int, gated: str) -> None:
    """Print: free, gated, difference, each as microseconds; the best of the rounds."""
    if name in ("paywall", "front"):
        from django.core.wsgi import get_wsgi_application

        from paywall import front

        plain = get_wsgi_application()
        application: Any = front.wsgi(plain) if name == "front" else plain
        if gated == ARTICLE:
            from site_demo.magazine.models import Article

            urls = (one.get_absolute_url() for one in Article.objects.order_by("pk"))
            gated = next(url for url in urls if _call(plain, url) == "402")
    else:
        from benchmarks.official import app

        application = app.wsgi_app
    free = "/api/hello/"
    assert _call(application, free) == "200"
    assert _call(application, gated) == "402", (gated, _call(application, gated))
    best = {free: float("inf"), gated: float("inf")}
    for _ in range(rounds):
        for path in best:
            best[path] = min(best[path], _time(lambda path=path: _call(application, path)))
    print(f"{best[free]:.1f} {best[gated]:.1f} {best[gated] - best[free]:.1f}")


def _time(call: Callable[[], Any], number: int = 2000) -> float:
    started = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - started) / number * 1e6


def _call(application: Any, path: str) -> str:
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "benchmark",
        "wsgi.input": sys.stdin.buffer,
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    result = application(environ, lambda status, headers, error=None: statuses.append(status))
    for _ in result:
        pass
    if hasattr(result, "close"):
        result.close()
    return statuses[0][:3]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--paid", type=int, default=40)
    parser.add_argument("--measure", choices=["paywall", "front", "flask"], help=argparse.SUPPRESS)
    parser.add_argument("--gated", default="/api/forecast/", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _options()
    if chosen.measure:
        measure(chosen.measure, chosen.rounds, chosen.gated)
    else:
        main()
