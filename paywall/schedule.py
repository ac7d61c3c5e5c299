"""A schedule for Celery beat, to import in settings (it imports nothing but the time):

    from paywall.schedule import BEAT_SCHEDULE
    CELERY_BEAT_SCHEDULE = {**BEAT_SCHEDULE}

A round that waited longer than its interval in the queue is dropped: the next one does its work.
"""

from __future__ import annotations

from typing import Any

SETTLE_EVERY = 1.0
CONFIRM_EVERY = 5.0
SWEEP_EVERY = 15.0

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "paywall-settle": {
        "task": "paywall.settle",
        "schedule": SETTLE_EVERY,
        "options": {"expires": SETTLE_EVERY},
    },
    "paywall-confirm-payments": {
        "task": "paywall.confirm_payments",
        "schedule": CONFIRM_EVERY,
        "options": {"expires": CONFIRM_EVERY},
    },
    "paywall-sweep": {
        "task": "paywall.sweep",
        "schedule": SWEEP_EVERY,
        "options": {"expires": SWEEP_EVERY},
    },
}
