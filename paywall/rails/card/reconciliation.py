"""Does the ledger agree with Stripe? Both ways, to the cent.

What Stripe has booked (its balance transactions) is read anew and compared with what the ledger
says: nothing missing, nothing extra, sums equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils import timezone

from paywall import conf, durable
from paywall.models import Account, Order, Payment, Refund
from paywall.models.payments import State
from paywall.rails.base import Unreachable

from . import api, orders, terms
from .terms import RAIL

if TYPE_CHECKING:
    from paywall.models.payments import PaymentQuerySet

Progress = Callable[[int, int], None]

EARLIER = timedelta(minutes=10)
"""How much sooner Stripe may have booked what the ledger wrote down."""

CHARGES, REFUNDS = frozenset({"charge", "payment"}), frozenset({"refund", "payment_refund"})
"""Types of balance transactions (docs.stripe.com/reports/balance-transaction-types)."""


class Booked(NamedTuple):
    """What Stripe has booked of one payment or refund."""

    reference: str
    amount: int
    fee: int


@dataclass(slots=True)
class Comparison:
    """One account: what Stripe and the ledger say since some time."""

    account: Account
    since: datetime
    booked: int = 0
    booked_units: int = 0
    fees_units: int = 0
    in_ledger: int = 0
    in_ledger_units: int = 0
    in_flight: int = 0
    """Booked, and still on their way to `confirmed`: the engine will see to them."""
    disputed: int = 0
    """Booked once, and lost to the payer's bank since."""
    missing: list[Payment] = field(default_factory=list)
    """Confirmed in the ledger, and not booked."""
    extra: list[tuple[Payment, Booked]] = field(default_factory=list)
    """Booked, and failed in the ledger, or of another amount there."""
    owed: list[Booked] = field(default_factory=list)
    """Paid for orders of ours, and not in the ledger: its buyers wait."""
    unmatched: list[Booked] = field(default_factory=list)
    """Money that came to the same account at Stripe otherwise."""
    refunds: int = 0
    refunds_units: int = 0
    refunds_missing: list[Refund] = field(default_factory=list)
    """Confirmed in the ledger, and not booked."""
    refunds_extra: list[Booked] = field(default_factory=list)
    """Booked for payments of ours, and not in the ledger."""

    name = "Stripe"

    @property
    def agrees(self) -> bool:
        payments = self.missing or self.extra or self.owed
        return not (payments or self.refunds_missing or self.refunds_extra)

    @property
    def strictly_agrees(self) -> bool:
        """And no other money came in."""
        return self.agrees and not self.unmatched

    def lines(self, most: int) -> Iterator[str]:
        """For people; of each kind of difference so many at most."""
        yield f"{self.account}, since {self.since:%Y-%m-%d %H:%M %Z}"
        rows = [
            ("payments at Stripe", self.booked, self.booked_units),
            ("fees", self.booked, self.fees_units),
            ("payments in the ledger", self.in_ledger, self.in_ledger_units),
            ("on their way", self.in_flight, None),
            ("lost to a dispute", self.disputed, None),
            ("missing at Stripe", len(self.missing), sum(p.atomic_amount for p in self.missing)),
            ("extra at Stripe", len(self.extra), sum(b.amount for _, b in self.extra)),
            ("not in the ledger", len(self.owed), sum(b.amount for b in self.owed)),
            ("other money in", len(self.unmatched), sum(b.amount for b in self.unmatched)),
            ("refunds", self.refunds, self.refunds_units),
            ("refunds missing", len(self.refunds_missing), None),
            ("refunds extra", len(self.refunds_extra), None),
        ]
        for name, number, units in rows:
            amount = "" if units is None else f"{self._amount(units)} {self.account.symbol}"
            yield f"  {name:<24}{number:>10}{amount:>28}"
        for payment in self.missing[:most]:
            yield f"  missing: payment {payment.pk}, {payment.reference}"
        for payment, booked in self.extra[:most]:
            yield f"  extra: payment {payment.pk} is {payment.state}, {booked.reference}"
        for booked in self.owed[:most]:
            yield f"  not in the ledger: {booked.reference}; run paywall_stripe_events"
        for booked in self.unmatched[:most]:
            yield f"  unmatched: {self._amount(booked.amount)}, {booked.reference}"
        for refund in self.refunds_missing[:most]:
            yield f"  refund missing: {refund.pk}, {refund.reference}"
        for booked in self.refunds_extra[:most]:
            yield f"  refund extra: {self._amount(booked.amount)}, {booked.reference}"

    def _amount(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.account.decimals)

    def json(self) -> dict[str, Any]:
        return {
            "account": str(self.account),
            "network": self.account.network,
            "currency": self.account.currency,
            "since": self.since.isoformat(),
            "agrees": self.agrees,
            "atStripe": {"count": self.booked, "amount": str(self.booked_units)},
            "fees": str(self.fees_units),
            "inLedger": {"count": self.in_ledger, "amount": str(self.in_ledger_units)},
            "inFlight": self.in_flight,
            "disputed": self.disputed,
            "refunds": {"count": self.refunds, "amount": str(self.refunds_units)},
            "missing": [{"payment": p.pk, "reference": p.reference} for p in self.missing],
            "extra": [
                {"payment": p.pk, "state": p.state, "atStripe": b._asdict()} for p, b in self.extra
            ],
            "owed": [booked._asdict() for booked in self.owed],
            "unmatched": [booked._asdict() for booked in self.unmatched],
            "refundsMissing": [
                {"refund": refund.pk, "reference": refund.reference, "amount": refund.amount}
                for refund in self.refunds_missing
            ],
            "refundsExtra": [booked._asdict() for booked in self.refunds_extra],
        }


def reconcile(since: datetime | None, progress: Progress) -> list[Comparison]:
    """Compare every account of the key's mode, from a time on or from its first payment. How many
    rows there are, and so how far it is, Stripe does not say. Raises `Unreachable`."""
    cards = conf.get().cards()
    if cards is None or not api.is_set_up():
        return []
    mode = terms.TEST if cards.is_test else terms.LIVE
    accounts = Account.objects.using(durable.alias()).filter(rail=RAIL, network=mode)
    return [_compared(account, since) for account in accounts.order_by("pk")]


def _compared(account: Account, since: datetime | None) -> Comparison:
    payments = Payment.objects.using(durable.alias()).filter(account=account)
    if since is None:
        oldest = payments.order_by("pk").first()
        since = (oldest.created_at if oldest else timezone.now()) - EARLIER
    comparison = Comparison(account, since)
    charges: set[str] = set()
    refunds: set[str] = set()
    for booked in _booked(account.currency.lower(), since):
        _compare(comparison, payments, booked, charges, refunds)
    _compare_ledger(comparison, payments, charges, refunds)
    return comparison


def _booked(currency: str, since: datetime) -> Iterator[dict[str, Any]]:
    """Stripe's balance transactions since then, oldest last. Raises `Unreachable`."""
    params: dict[str, Any] = {
        "created": {"gte": int(since.timestamp())},
        "currency": currency,
        "limit": 100,
        "expand": ["data.source"],
    }
    while True:
        try:
            page = api.ask(lambda stripe: stripe.v1.balance_transactions.list(params))  # type: ignore[arg-type]
        except api.NotTaken as error:
            raise Unreachable(f"{error.code} {error}") from error
        rows = [api.plain(row) for row in page.data]
        yield from rows
        if not page.has_more or not rows:
            return
        params["starting_after"] = rows[-1]["id"]


def _compare(
    comparison: Comparison,
    payments: PaymentQuerySet,
    row: dict[str, Any],
    charges: set[str],
    refunds: set[str],
) -> None:
    """Add what one balance transaction and the ledger say of it."""
    source = row.get("source")
    source = source if isinstance(source, dict) else {"id": source}
    intent = str(source.get("payment_intent") or "")
    amount, fee = abs(int(row["amount"])), int(row["fee"])
    payment = orders.payment_of(intent, payments)
    if row["type"] in REFUNDS:
        if payment is None:
            return
        booked = Booked(str(source["id"]), amount, fee)
        refunds.add(booked.reference)
        comparison.refunds += 1
        comparison.refunds_units += amount
        known = Refund.objects.using(durable.alias()).filter(payment=payment)
        if not known.filter(reference=booked.reference).exists():
            comparison.refunds_extra.append(booked)
        return
    if row["type"] not in CHARGES:
        return
    booked = Booked(intent or str(source["id"]), amount, fee)
    if payment is None:
        public_id = (source.get("metadata") or {}).get(orders.MARK)
        ours = Order.objects.using(durable.alias()).filter(public_id=public_id or "")
        (comparison.owed if ours.exists() else comparison.unmatched).append(booked)
        return
    charges.add(intent)
    comparison.booked += 1
    comparison.booked_units += amount
    comparison.fees_units += fee
    if payment.state in (State.SETTLING, State.SETTLED):
        comparison.in_flight += 1
    elif payment.state == State.LOST and payment.disputes.exists():
        comparison.disputed += 1
    elif payment.state != State.CONFIRMED or payment.atomic_amount != amount:
        comparison.extra.append((payment, booked))


def _compare_ledger(
    comparison: Comparison, payments: PaymentQuerySet, charges: set[str], refunds: set[str]
) -> None:
    """What the ledger has, and Stripe has not."""
    # What was written down just at the beginning may have been booked before it.
    since = comparison.since + EARLIER
    for payment in payments.filter(state=State.CONFIRMED, created_at__gte=since).iterator():
        comparison.in_ledger += 1
        comparison.in_ledger_units += payment.atomic_amount
        if payment.reference not in charges:
            comparison.missing.append(payment)
    confirmed = Refund.objects.using(durable.alias()).filter(
        payment__account=comparison.account, state=Refund.State.CONFIRMED, created_at__gte=since
    )
    comparison.refunds_missing += [
        refund for refund in confirmed.iterator() if refund.reference not in refunds
    ]
