"""How the engine is doing, for people, monitors and the health check."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Max
from django.utils import timezone

from paywall import durable
from paywall.models import (
    Exposure,
    FacilitatorHealth,
    Payment,
    Receipt,
    Refund,
    RollUp,
    Transaction,
    Wallet,
)
from paywall.models.payments import WAITING, State
from paywall.reports import rollups
from paywall.settlement import worker

if TYPE_CHECKING:
    from paywall.models.payments import PaymentQuerySet

BEHIND_AFTER = timedelta(seconds=60)
"""How long work may lie undone before the engine counts as behind."""

ROUNDS_WITHIN = timedelta(minutes=10)
"""A worker that is there has made a round since."""


@dataclass(frozen=True, slots=True)
class Status:
    """A look at the ledger."""

    payments: dict[str, int]
    """How many are in which state."""
    waiting: int
    """How many the engine shall look at now."""
    longest_wait: timedelta
    """How long the first of them has been waiting."""
    owed: int
    """Settled, and not collected by their buyers."""
    needing_attention: int
    """Those that only a person can resolve."""
    exposure: dict[str, Decimal]
    """Delivered and not settled, in each currency."""
    unfinished_transactions: int
    """Transactions of ours that no block has."""
    open_refunds: int
    wallets: list[Wallet]
    """Those that pay for gas, with their balances as last read."""
    facilitators: list[FacilitatorHealth]
    """Those that failed lately."""

    @property
    def is_keeping_up(self) -> bool:
        return self.longest_wait <= BEHIND_AFTER

    def json(self) -> dict[str, Any]:
        return {
            "keepingUp": self.is_keeping_up,
            "payments": self.payments,
            "waiting": self.waiting,
            "longestWaitSeconds": round(self.longest_wait.total_seconds()),
            "owed": self.owed,
            "needingAttention": self.needing_attention,
            "exposure": {currency: str(amount) for currency, amount in self.exposure.items()},
            "unfinishedTransactions": self.unfinished_transactions,
            "openRefunds": self.open_refunds,
            "gas": [
                {"network": w.network, "address": w.address, "wei": w.balance, "low": w.is_low}
                for w in self.wallets
            ],
            "failingFacilitators": {h.name: h.last_trouble for h in self.facilitators},
        }


def take(*, count_all: bool = True) -> Status:
    """Query the database for it. What is final is not counted row by row: the receipts' numbers and
    the sums by day know how many there are (the sums as of the last time they were added up)."""
    using = durable.alias()
    payments = Payment.objects.using(using)
    counted = Counter(_by_state(payments.waiting()))
    if count_all:
        counted += _final(payments)
    undone = worker.undone()
    first = undone.order_by("due_at").values_list("due_at", flat=True).first()
    unread = worker.unread_since()
    since = min((at for at in (first, unread) if at is not None), default=None)
    has_sums = RollUp.objects.using(using).exists()
    owed, attention = _summed_up(payments) if has_sums else _counted(payments)
    exposures = Exposure.objects.using(durable.alias()).filter(
        scope__startswith="all ", units__gt=0
    )
    return Status(
        payments={str(state): counted[state] for state in (State.values if count_all else WAITING)},
        waiting=undone.count(),
        longest_wait=max(timezone.now() - since, timedelta()) if since else timedelta(),
        owed=owed,
        needing_attention=attention,
        unfinished_transactions=Transaction.objects.using(using)
        .filter(state=Transaction.State.SIGNED)
        .count(),
        open_refunds=open_refunds(),
        wallets=list(Wallet.objects.using(using).order_by("pk")),
        facilitators=list(FacilitatorHealth.objects.using(using).filter(failures__gt=0)),
        exposure={row.scope.removeprefix("all "): row.amount for row in exposures},
    )


def _by_state(payments: PaymentQuerySet) -> dict[str, int]:
    return dict(payments.order_by().values_list("state").annotate(Count("pk")))


def _final(payments: PaymentQuerySet) -> Counter[str]:
    """How many are lost, failed and confirmed. Every confirmed one has a receipt with a number, and
    numbers have no gaps; those that the chain took back keep theirs."""
    closed = payments.filter(closed_at__isnull=False)
    lost = _by_state(payments.open()).get(State.LOST, 0)
    numbered = Receipt.objects.using(durable.alias()).aggregate(last=Max("number"))["last"] or 0
    taken_back = payments.open().filter(receipt__number__isnull=False).count()
    return Counter(
        {
            State.LOST.value: lost,
            State.FAILED.value: closed.count() - lost,
            State.CONFIRMED.value: numbered - taken_back,
        }
    )


def open_refunds() -> int:
    """How many are asked for and not on the chain yet."""
    return Refund.objects.using(durable.alias()).filter(state__in=Refund.OPEN).count()


def _counted(payments: PaymentQuerySet) -> tuple[int, int]:
    """What is owed, and what needs a person, by looking at every payment."""
    settled = payments.filter(state__in=[State.SETTLED, State.CONFIRMED])
    owed = settled.filter(delivered_at__isnull=True).count()
    return owed, payments.needing_attention().count()


def _summed_up(payments: PaymentQuerySet) -> tuple[int, int]:
    """The same from the sums by day: as of the last time they were added up."""
    needs = rollups.needs()
    stuck = payments.stuck().count()
    return needs.owed, needs.lost + needs.unpaid + stuck


def has_worked_lately() -> bool:
    """Whether somebody does the rounds' work, however it was started: each adds sums up."""
    since = timezone.now() - ROUNDS_WITHIN
    return RollUp.objects.using(durable.alias()).filter(rolled_up_at__gte=since).exists()


def is_keeping_up() -> bool:
    """The health check's question, in a few cheap queries."""
    overdue = timezone.now() - BEHIND_AFTER
    unread = worker.unread_since()
    if unread is not None and unread < overdue:
        return False
    return not worker.undone().filter(due_at__lt=overdue, held_until__lt=overdue).exists()
