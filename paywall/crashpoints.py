"""Places where a crash would hurt most, by name, so that tests can have one there.

With `PAYWALL_DIE_AT` in the environment the process kills itself when it gets to the place of
that name, as a power cut would. Nothing else ever happens here.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "settle: about to ask",
    "settle: answered",
    "settle: written",
    "batch: taken up",
    "batch: simulated",
    "batch: written",
    "batch: sent",
    "batch: landed",
    "batch: settled",
    "confirm: read",
    "confirm: written",
    "refund: taken up",
    "refund: written",
    "refund: sent",
    "refund: confirmed",
    "card: ordered",
    "card: session made",
    "card: paid",
    "balance: spent",
    "balance: used",
    "stream: counted",
)

_chosen = os.environ.get("PAYWALL_DIE_AT", "")


def reach(point: str) -> None:
    """Die here, if a test wants it."""
    if point == _chosen:
        os.kill(os.getpid(), signal.SIGKILL)
