"""What the paywall knows of one person, to be handed to them or to be forgotten.

A person is a user of the site, or a payer: a wallet, as its rail spells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist

from paywall import durable, holders
from paywall.ledger import forgetting
from paywall.models import (
    AccessPass,
    Balance,
    BalanceEntry,
    FreeUse,
    Order,
    Payment,
)
from paywall.privacy import retention
from paywall.rails import registry

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    from paywall.models.payments import PaymentQuerySet

BATCH = 200


@dataclass(frozen=True, slots=True)
class Person:
    """Whose rows: one of the two is known."""

    user_id: Any = None
    payer: str = ""

    def payments(self) -> PaymentQuerySet:
        rows = Payment.objects.using(durable.alias()).order_by("pk")
        return rows.filter(payer=self.payer) if self.payer else rows.filter(user=self.user_id)

    @property
    def counted_as(self) -> str:
        """By what their free requests are counted."""
        return self.payer or holders.counted_as(self.user_id)


def user(name: str) -> Person:
    """By the name that they sign in with, or else by primary key. Raises `LookupError`."""
    model = get_user_model()
    try:
        return Person(user_id=model._default_manager.get_by_natural_key(name).pk)
    except ObjectDoesNotExist:
        pass
    try:
        return Person(user_id=model._default_manager.get(pk=name).pk)
    except (ObjectDoesNotExist, ValueError, TypeError):
        raise LookupError(f"There is no user {name!r}.") from None


def wallet(text: str) -> Person:
    """Raises `LookupError` for what is no wallet."""
    found = registry.spelled(text)
    if found is None or found[0] != "payer":
        raise LookupError(f"{text!r} is no wallet that a rail of this site knows.")
    return Person(payer=found[1])


@dataclass(slots=True)
class Outcome:
    """What became of somebody's wish to be forgotten."""

    payments: int = 0
    passes: int = 0
    left: list[Payment] = field(default_factory=list)
    """Payments that somebody may still need: on their way, not collected, or about to go back."""
    balances: list[Balance] = field(default_factory=list)
    """With money on them."""

    @property
    def is_whole(self) -> bool:
        return not self.left and not self.balances


def forget(person: Person) -> Outcome:
    """Forget all that says who they are, at any age; their passes close. The books stay whole.

    What cannot be forgotten yet is told, and left as it is: ask again later.
    """
    outcome, using = Outcome(), durable.alias()
    if not person.payer:
        outcome.passes = forgetting.close_passes(person.user_id)
    for keys in _batches(person.payments()):
        done = forgetting.forget(keys, forgetting.ALL, retention.also_final())
        outcome.payments += len(done)
    if not person.payer:
        orders = Order.objects.using(using).filter(user=person.user_id)
        for keys in _batches(orders):
            forgetting.forget_beside(Order, keys, forgetting.ALL)
        outcome.balances = forgetting.forget_balances(person.user_id)
    forgetting.forget_counts(person.counted_as)
    outcome.left = list(person.payments())
    return outcome


def _batches(rows: QuerySet[Any]) -> Iterator[list[int]]:
    after = 0
    while keys := list(
        rows.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH]
    ):
        yield keys
        after = keys[-1]


def known(person: Person) -> dict[str, Any]:
    """All that is known of them, for JSON: rows as they are, with what they are about."""
    using = durable.alias()
    payments = person.payments().select_related("resource", "receipt")
    told: dict[str, Any] = {"payments": [_payment(one) for one in payments]}
    told["free_requests"] = [
        _row(one) for one in FreeUse.objects.using(using).filter(holder=person.counted_as)
    ]
    if person.payer:
        return told
    user_id = person.user_id
    balances = Balance.objects.using(using).filter(user=user_id).order_by("pk")
    entries = BalanceEntry.objects.using(using).filter(balance__in=balances).order_by("pk")
    rows: dict[str, Any] = {
        "orders": Order.objects.using(using).filter(user=user_id).order_by("pk"),
        "passes": AccessPass.objects.using(using).filter(user=user_id).order_by("pk"),
        "balances": balances,
        "balance_entries": entries,
        "metered": forgetting.metered(person.counted_as),
    }
    return told | {name: [_row(one) for one in found] for name, found in rows.items()}


def _payment(payment: Payment) -> dict[str, Any]:
    receipt = getattr(payment, "receipt", None)
    return {
        **_row(payment),
        "resource": payment.resource.title or payment.resource.slug,
        "receipt": None if receipt is None else _row(receipt),
        "refunds": [_row(one) for one in payment.refunds.order_by("pk")],
        "events": [_row(one) for one in payment.events.all()],
    }


def _row(row: Model) -> dict[str, Any]:
    return {one.attname: one.value_from_object(row) for one in row._meta.concrete_fields}
