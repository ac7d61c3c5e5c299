"""Prometheus metrics, with the extra `django-paywall[prometheus]` and a `METRICS_TOKEN`.

Counters and histograms grow in the processes that move payments (several of them share theirs by
`PROMETHEUS_MULTIPROC_DIR`, as prometheus_client has it); gauges are read from the database when
they are asked for, none of them by counting all payments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from paywall import signals
from paywall.models.payments import State
from paywall.reports import status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from paywall.models import Payment

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)


log = logging.getLogger(__name__)


def install_if_there() -> None:
    """The same; without the extra it is logged, and `manage.py check` says it (`paywall.E018`)."""
    if is_installed():
        install()
    else:
        log.error("METRICS_TOKEN is set, and prometheus_client is missing: nothing is counted")


def is_installed() -> bool:
    """Whether the extra is there."""
    return find_spec("prometheus_client") is not None


def install() -> None:
    """Count from now on. Raises `ImportError` without the extra."""
    from prometheus_client import Counter, Histogram

    moves = Counter("paywall_moves", "Moves of payments, by what they came to", ["state", "reason"])
    settle = Histogram("paywall_settle_seconds", "From claimed to settled", buckets=SECONDS)
    confirm = Histogram("paywall_confirm_seconds", "From settled to confirmed", buckets=SECONDS)

    def moved(payment: Payment, **_: Any) -> None:
        moves.labels(payment.state, payment.error_code).inc()
        settled_at, confirmed_at = payment.settled_at, payment.confirmed_at
        if payment.state == State.SETTLED and settled_at is not None:
            settle.observe((settled_at - payment.created_at).total_seconds())
        if payment.state == State.CONFIRMED and settled_at is not None and confirmed_at is not None:
            confirm.observe((confirmed_at - settled_at).total_seconds())

    signals.payment_moved.connect(moved, weak=False, dispatch_uid="paywall.metrics")


def page() -> tuple[bytes, str]:
    """All metrics in the format that Prometheus asks for, and its content type."""
    import os

    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    found = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        found = CollectorRegistry()
        MultiProcessCollector(found)  # type: ignore[no-untyped-call]
    return generate_latest(found) + generate_latest(_gauges()), CONTENT_TYPE_LATEST


def _gauges() -> CollectorRegistry:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(_Gauges())
    return registry


class _Gauges:
    """How things stand now."""

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        found = status.take(count_all=False)
        yield _family(
            "paywall_open_payments",
            "Payments that are not final",
            {(state,): float(number) for state, number in found.payments.items()},
            ["state"],
        )
        yield GaugeMetricFamily(
            "paywall_oldest_undone_seconds",
            "How long the first thing that the engine shall do has been waiting",
            found.longest_wait.total_seconds(),
        )
        yield GaugeMetricFamily(
            "paywall_needing_attention",
            "Payments that only a person can resolve",
            found.needing_attention,
        )
        yield GaugeMetricFamily(
            "paywall_unfinished_transactions",
            "Transactions of ours that no block has",
            found.unfinished_transactions,
        )
        yield GaugeMetricFamily(
            "paywall_open_refunds", "Refunds that are not final", found.open_refunds
        )
        yield _family(
            "paywall_exposure",
            "Delivered and not settled",
            {(currency,): float(amount) for currency, amount in found.exposure.items()},
            ["currency"],
        )
        yield _family(
            "paywall_gas_balance",
            "What our wallets have for gas, in the chain's coin",
            {(w.network, w.address): float(w.coins) for w in found.wallets if w.coins is not None},
            ["network", "address"],
        )
        yield _family(
            "paywall_facilitator_failures",
            "Failures in a row of a facilitator",
            {(health.name,): float(health.failures) for health in found.facilitators},
            ["facilitator"],
        )


def _family(
    name: str, what: str, values: dict[tuple[str, ...], float], labels: list[str]
) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, what, labels=labels)
    for label_values, value in values.items():
        family.add_metric(list(label_values), value)
    return family
