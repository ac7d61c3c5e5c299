"""Where the time of a paid request goes: by whose code it is spent in.

    python -m benchmarks.profile [--requests 1000]

In process, on PostgreSQL, one request after the other, through Django's WSGI handler; policy
`background`, so that no facilitator is asked. First without a profiler, for the time of a request;
then with one, for the shares, which it makes somewhat more alike than they are.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections import defaultdict
from typing import Any

from benchmarks import ours
from benchmarks.tables import table
from site_demo.chain.local import LocalChain
from tests import services

PATH = "/api/ticker/"
WARM = 50

WHOSE = (
    # a part of a file's name, or of a built-in's; and whose it is. The first that fits.
    ("psycopg/_cursor_base.py:_send", "waiting for PostgreSQL"),
    ("psycopg/connection.py:wait", "waiting for PostgreSQL"),
    ("psycopg", "psycopg"),
    ("secp256k1", "the payment's signature"),
    ("coincurve", "the payment's signature"),
    ("eth_", "the payment's signature"),
    ("paywall/ledger", "paywall: ledger"),
    ("paywall/durable", "paywall: ledger"),
    ("paywall/models", "paywall: ledger"),
    ("paywall/entry", "paywall: gate and answers"),
    ("paywall/effects", "paywall: gate and answers"),
    ("paywall/decorators", "paywall: gate and answers"),
    ("paywall/middleware", "paywall: gate and answers"),
    ("paywall/protocols", "paywall: protocols, rails"),
    ("paywall/rails", "paywall: protocols, rails"),
    ("pydantic", "paywall: protocols, rails"),
    ("x402", "paywall: protocols, rails"),
    ("paywall/", "paywall: all else"),
    ("django/db", "Django: database"),
    ("django/", "Django: all else"),
    ("csp/", "the site: its view, and other middleware"),
    ("whitenoise/", "the site: its view, and other middleware"),
    ("site_demo/", "the site: its view, and other middleware"),
)
REST = "Python's own library and built-ins"


def main() -> None:
    options = _options()
    with LocalChain() as chain, services.postgresql() as database:
        ours.set_up(chain, database)
        number = options.requests
        payments = ours.headers(chain, PATH, 2 * number + WARM)
        for payment in payments[:WARM]:
            ours.ask(PATH, payment)
        started = time.perf_counter()
        for payment in payments[WARM : WARM + number]:
            ours.ask(PATH, payment)
        each = (time.perf_counter() - started) / number * 1000
        profile = cProfile.Profile()
        profile.enable()
        for payment in payments[WARM + number :]:
            ours.ask(PATH, payment)
        profile.disable()
        ours.done()
    spent: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, own, _, _) in _stats(profile).items():
        spent[_whose(f"{file}:{name}")] += own
    whole = sum(spent.values())
    rows = [["", "share", "ms"]]
    for whose, own in sorted(spent.items(), key=lambda item: -item[1]):
        rows.append([whose, f"{own / whole:.0%}", f"{own / whole * each:.2f}"])
    print(f"A paid request: {each:.2f} ms.")
    print()
    table(*rows)


def _stats(profile: cProfile.Profile) -> dict[Any, Any]:
    found: Any = pstats.Stats(profile)
    stats: dict[Any, Any] = found.stats
    return stats


def _whose(where: str) -> str:
    return next((whose for part, whose in WHOSE if part in where), REST)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
