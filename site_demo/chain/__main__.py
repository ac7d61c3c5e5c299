"""`python -m site_demo.chain`: the local chain by itself, with play USDC, until it is stopped."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from .local import NETWORK, USDC_UNIT, LocalChain, account


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8545)
    parser.add_argument("--block-time", type=float, default=2.0)
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with LocalChain(options.port, options.block_time, options.host) as chain:
        for index in range(2, 6):
            chain.mint(account(index).address, 1_000 * USDC_UNIT)
        sys.stdout.write(f"{NETWORK} at {options.host}:{chain.port}; accounts 2 to 5 have USDC.\n")
        sys.stdout.flush()
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
