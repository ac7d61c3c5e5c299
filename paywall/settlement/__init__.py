"""How a claimed payment gets settled, and how an unknown outcome is resolved.

    settle   claimed -> settling -> settled | failed, or stays settling: unknown
    resolve  settling (unknown) -> settled | failed, or stays
    confirm  settled -> confirmed | lost, or stays; back, if its rail took back what it showed

All are steps: the gate and the Celery tasks run the same lines. No transaction is open and no lock
is held while anybody is asked.
"""

from .settling import (
    LONGEST_PAUSE,
    PATIENCE,
    charge,
    confirm,
    overtake,
    pause,
    resolve,
    settle,
    settle_hold,
)

__all__ = [
    "LONGEST_PAUSE",
    "PATIENCE",
    "charge",
    "confirm",
    "overtake",
    "pause",
    "resolve",
    "settle",
    "settle_hold",
]
