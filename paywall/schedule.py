"""How Celery runs the engine, to import in settings (it imports nothing but the time):

    from paywall.schedule import BEAT_SCHEDULE, TASK_ROUTES, TRANSPORT_OPTIONS
    CELERY_BEAT_SCHEDULE = {**BEAT_SCHEDULE}
    CELERY_TASK_ROUTES = {**TASK_ROUTES}
    CELERY_BROKER_TRANSPORT_OPTIONS = {**TRANSPORT_OPTIONS}     # Redis

Start a worker on its queues: `celery -A site worker -Q paywall.money,paywall.chain,paywall.desk`. A
round that
waited longer than its interval in the queue is dropped: the next one does its work.
"""

from __future__ import annotations

from typing import Any

SETTLE_EVERY = 1.0
CONFIRM_EVERY = 5.0
REFUND_EVERY = 5.0
SWEEP_EVERY = 15.0
ROLL_UP_EVERY = 30.0
TELL_EVERY = 30.0
PRUNE_EVERY = 3_600.0
KNOW_BOTS_EVERY = 60.0

TIME_LIMIT = 300
"""Seconds after which a task that hangs is killed. Rounds end by themselves long before."""

MONEY, CHAIN, DESK = "paywall.money", "paywall.chain", "paywall.desk"
"""The queues: what moves money, what only reads the chain, and what the owner looks at."""

_ROUNDS = {
    # name: (every, queue, priority: 0 is the first on Redis)
    "settle": (SETTLE_EVERY, MONEY, 0),
    "refund": (REFUND_EVERY, MONEY, 3),
    "sweep": (SWEEP_EVERY, MONEY, 6),
    "confirm_payments": (CONFIRM_EVERY, CHAIN, 3),
    "roll_up": (ROLL_UP_EVERY, DESK, 6),
    "tell": (TELL_EVERY, DESK, 6),
    "prune": (PRUNE_EVERY, DESK, 9),
    "know_bots": (KNOW_BOTS_EVERY, DESK, 9),
}

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    f"paywall-{name.replace('_', '-')}": {
        "task": f"paywall.{name}",
        "schedule": every,
        "options": {"expires": every},
    }
    for name, (every, _, _) in _ROUNDS.items()
}

TASK_ROUTES: dict[str, dict[str, Any]] = {
    f"paywall.{name}": {"queue": queue, "priority": priority}
    for name, (_, queue, priority) in _ROUNDS.items()
}

TRANSPORT_OPTIONS: dict[str, Any] = {
    # Later than any task ends: what a worker that died had taken is given out again then.
    "visibility_timeout": TIME_LIMIT + 60,
    "priority_steps": [0, 3, 6, 9],
    "queue_order_strategy": "priority",
}
