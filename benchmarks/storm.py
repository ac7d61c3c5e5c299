"""A storm: twice as many requests as the site can answer, of which one in a hundred pays.

    python -m benchmarks.storm [--seconds 10] [--limit 60]

95 % bring nothing, 4 % ask for a free page, 1 % pay (policy `background`, PostgreSQL, the site's
own facilitator with a worker at it). Requests come when they come, whether or not earlier ones were
answered; a time is counted from when one came, and none is waited for longer than ten seconds.
Those that bring nothing ask for one page, or each for another query. gunicorn with two workers of
eight threads; who asks, the site, its worker, its database and the node share the machine. How much
the site can answer is measured first, without the front door.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections import defaultdict
from typing import Any

import requests

from benchmarks.paid import PATH, parties, site
from benchmarks.tables import table

FREE = "/api/hello/"
LIMIT = 10.0
SHARES = (("unpaid", 95), ("free", 4), ("buyers", 1))


def main() -> None:
    options = _options()
    rows = [["", "unpaid ask for", "who", "sent", "answered", "as wished", "p50 ms", "p99 ms"]]
    with parties() as shared:
        with site(shared, "postgresql", "background", True) as url:
            capacity = asyncio.run(_capacity(url, 5.0))
        rate = 2 * capacity
        for application, limit, title in (
            ("site_demo.wsgi", 0, "without"),
            ("benchmarks.doors:wsgi", 0, "front door"),
            ("benchmarks.doors:wsgi", options.limit, f"front door, STORM {options.limit}"),
        ):
            for is_same in (True, False):
                with site(
                    shared,
                    "postgresql",
                    "background",
                    True,
                    application,
                    PAYWALL_STORM=str(limit),
                ) as url:
                    payments = _payments(url, shared.wallets, int(rate * options.seconds / 80))
                    found = asyncio.run(_storm(url, rate, options.seconds, payments, is_same))
                where = "one page" if is_same else "other queries"
                rows += [_row(title, where, who, found[who]) for who, _ in SHARES]
    print(f"The site answers {capacity:.0f} requests a second that bring nothing; {rate:.0f} come.")
    print()
    table(*rows)


def _row(title: str, where: str, who: str, found: list[tuple[int, float]]) -> list[str]:
    answered = [(status, took) for status, took in found if status]
    wished = {"unpaid": (402, 429), "free": (200,), "buyers": (200,)}[who]
    good = [took for status, took in answered if status in wished]
    times = [took * 1000 for _, took in answered] or [float("nan")]
    p99 = statistics.quantiles(times, n=100)[-1] if len(times) > 1 else times[0]
    shed = sum(status == 429 for status, _ in answered)
    name = f"{who} ({shed / len(found):.0%} by 429)" if shed else who
    return [
        *(title, where, name, str(len(found)), f"{len(answered) / len(found):.1%}"),
        *(f"{len(good) / len(found):.1%}", f"{statistics.median(times):.0f}", f"{p99:.0f}"),
    ]


def _payments(url: str, wallets: list[Any], number: int) -> list[str]:
    from paywall.testing import Buyer, encode

    challenge = requests.get(url + PATH, timeout=30)
    buyers = [Buyer(wallet) for wallet in wallets]
    return [encode(buyers[at % len(buyers)].payload(challenge)) for at in range(number)]


class Pool:
    """Connections that are kept open: one for each that is asked at the same time."""

    def __init__(self, url: str) -> None:
        self.host, _, port = url.split("//")[1].partition(":")
        self.port = int(port)
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str, payment: str = "") -> int:
        """The status."""
        reader, writer = (
            self.free.pop() if self.free else await asyncio.open_connection(self.host, self.port)
        )
        try:
            head = f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            if payment:
                head += f"PAYMENT-SIGNATURE: {payment}\r\n"
            writer.write(f"{head}\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            lower = answer.lower()
            length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if b"connection: close" in lower:
            writer.close()
        else:
            self.free.append((reader, writer))
        return int(answer[9:12])


async def _capacity(url: str, seconds: float) -> float:
    """Requests a second that bring nothing, with 32 always waiting."""
    pool, until, answered = Pool(url), time.perf_counter() + seconds, 0

    async def ask_on() -> None:
        nonlocal answered
        while time.perf_counter() < until:
            await pool.ask(f"{PATH}?n={random.random()}")
            answered += 1

    await asyncio.gather(*(ask_on() for _ in range(32)))
    return answered / seconds


async def _storm(
    url: str, rate: float, seconds: float, payments: list[str], is_same: bool
) -> dict[str, list[tuple[int, float]]]:
    """For each kind: statuses, 0 for what was not answered in time, and seconds."""
    pool, found, rng = Pool(url), defaultdict(list), random.Random(402)
    names, weights = zip(*SHARES, strict=True)

    async def come(who: str, at: float, path: str, payment: str) -> None:
        try:
            status = await asyncio.wait_for(pool.ask(path, payment), LIMIT)
        except (TimeoutError, OSError, EOFError):
            status = 0
        found[who].append((status, time.perf_counter() - at))

    began, sent, tasks = time.perf_counter(), 0, []
    while (now := time.perf_counter()) < began + seconds:
        while sent < (now - began) * rate:
            who = rng.choices(names, weights)[0]
            payment = payments.pop() if who == "buyers" and payments else ""
            query = "" if is_same or who != "unpaid" else f"?n={rng.random()}"
            path = FREE if who == "free" else PATH + query
            tasks.append(asyncio.create_task(come(who, began + sent / rate, path, payment)))
            sent += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--limit", type=int, default=60, help="STORM, for each process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
