"""What is personal goes out of the books; prices, states, references and numbers stay.

Nothing is forgotten of what somebody may still need: a payment on its way, one that was paid and
not collected, a refund or a dispute that is open, money that fits no order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from paywall import conf, durable, pseudonyms
from paywall.ledger import pass_cache
from paywall.models import (
    AccessPass,
    Alert,
    Balance,
    BalanceEntry,
    Dispute,
    Exposure,
    FreeUse,
    Meter,
    MeterCount,
    Order,
    PassDevice,
    Payment,
    PaymentEvent,
    Receipt,
    Refund,
)
from paywall.models.payments import State
from paywall.rails import registry
from paywall.rails.base import Forgets

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from django.db.models import QuerySet

    from paywall.models.payments import PaymentQuerySet

ALL: tuple[str, ...] = get_args(conf.Forgettable)
"""All that can be forgotten of a payment."""

_FINAL = (State.CONFIRMED, State.FAILED, State.LOST)


@durable.write
def forget(keys: Sequence[int], what: Collection[str], also_final: Q) -> list[int]:
    """Forget these things of the payments. Returns the keys of those of which it is forgotten now;
    of the others somebody may still need it.

    `also_final`: settled payments that nobody will ever confirm.
    """
    payments = _forgettable(keys, what, also_final)
    chosen = Payment.objects.using(durable.alias()).filter(pk__in=[one.pk for one in payments])
    if "wallets" in what:
        _forget_wallets(payments)
    if "payloads" in what or "wallets" in what:  # a payload names its wallet
        chosen.update(payload=None)
    if "urls" in what:
        _forget_urls(chosen)
    if "users" in what:
        chosen.update(user=None, holder="", idempotency_key="", request_digest="")
        _forget_sold(chosen, "fields")
        _forget_holders(AccessPass.objects.using(durable.alias()).filter(payment__in=chosen))
    if "events" in what:
        PaymentEvent.objects.using(durable.alias()).filter(payment__in=chosen).delete()
    if "payloads" in what or "wallets" in what:
        for rail in registry.who_can(Forgets):
            rail.forget([one.identity for one in payments], what)
    return [one.pk for one in payments]


def _forgettable(keys: Sequence[int], what: Collection[str], also_final: Q) -> list[Payment]:
    using = durable.alias()
    rows = Payment.objects.using(using).filter(pk__in=keys)
    # First the locks, then a look: who asks for a refund changes the row that is locked.
    list(rows.select_for_update().order_by("pk").values_list("pk"))
    now = timezone.now()
    refunds = Refund.objects.using(using).filter(payment=OuterRef("pk"), state__in=Refund.OPEN)
    disputes = Dispute.objects.using(using).filter(payment=OuterRef("pk"), state="open")
    rows = rows.filter(
        Q(state__in=_FINAL) | also_final,
        ~Exists(refunds),
        ~Exists(disputes),
        Q(delivered_at__isnull=False) | Q(settled_at__isnull=True),
        Q(misfit_of__isnull=True) | ~Q(refunded="0"),
        held_until__lte=now,
    )
    if "users" in what:
        good = AccessPass.objects.using(using).filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now),
            payment=OuterRef("pk"),
            revoked_at__isnull=True,
        )
        rows = rows.filter(~Exists(good))
    return list(rows.order_by("pk").distinct())


def _forget_urls(chosen: PaymentQuerySet) -> None:
    chosen.update(url="")
    _forget_sold(chosen, "url")


def _forget_sold(chosen: PaymentQuerySet, what: str) -> None:
    """Of what a receipt says that was sold, as it was then."""
    receipts = Receipt.objects.using(durable.alias()).filter(payment__in=chosen)
    found = [receipt for receipt in receipts if receipt.sold.get(what)]
    for receipt in found:
        receipt.sold[what] = type(receipt.sold[what])()
    receipts.bulk_update(found, ["sold"], batch_size=200)


def _forget_wallets(payments: Sequence[Payment]) -> None:
    using = durable.alias()
    named = [one for one in payments if one.payer and not pseudonyms.is_one(one.payer)]
    for payment in named:
        payer, instead = str(payment.payer), pseudonyms.of(str(payment.payer))
        changes: dict[str, Any] = {
            "payer": instead,
            "error_detail": _without(payment.error_detail, payer, instead),
        }
        if payer.lower() in payment.identity.lower():
            # It was good until its authorization expired. No other payment is ever called so.
            changes["identity"] = f"forgotten:{payment.pk}"
        if payment.idempotency_key:
            changes["idempotency_key"] = ""
        Payment.objects.using(using).filter(pk=payment.pk).update(**changes)
        for model in (PaymentEvent, Alert):
            _scrub(model, payment, payer, instead)
        scope = f"{payer} {payment.currency}"
        Exposure.objects.using(using).filter(scope=scope, units=0, out_of_favour=False).delete()


_TEXTS = ("title", "text", "data")


def _scrub(model: Any, payment: Payment, payer: str, instead: str) -> None:
    """Take a wallet out of what was written of its payment."""
    rows = model._default_manager.using(durable.alias())
    for row in rows.filter(payment=payment):
        before = {name: getattr(row, name) for name in _TEXTS if hasattr(row, name)}
        after = {name: _without(value, payer, instead) for name, value in before.items()}
        if after != before:
            rows.filter(pk=row.pk).update(**after)


def _without(value: Any, payer: str, instead: str) -> Any:
    match value:
        case str():
            return re.sub(re.escape(payer), instead, value, flags=re.IGNORECASE)
        case dict():
            return {key: _without(one, payer, instead) for key, one in value.items()}
        case list():
            return [_without(one, payer, instead) for one in value]
    return value


def _forget_holders(passes: Any) -> None:
    """Whose they were; what they open is over."""
    PassDevice.objects.using(durable.alias()).filter(access_pass__in=passes).delete()
    passes.update(user=None, holder="")


@durable.write
def forget_beside(
    model: type[Order] | type[BalanceEntry], keys: Sequence[int], what: Collection[str]
) -> None:
    """The same for what stands beside payments: orders, and what was spent from balances. Not of
    those that are open."""
    chosen = model._default_manager.using(durable.alias()).filter(pk__in=keys)
    chosen = chosen.exclude(state="open")
    if "urls" in what:
        chosen.update(url="")
    if "users" in what:
        chosen.update(holder="", **({"user": None} if model is Order else {}))


@durable.write
def close_passes(user_id: Any) -> int:
    """Delete the passes of somebody who wants to be forgotten. Returns how many."""
    rows = AccessPass.objects.using(durable.alias()).filter(user_id=user_id)
    pass_cache.close(rows.values_list("resource_id", "holder"))
    return rows.delete()[1].get(AccessPass._meta.label, 0)


@durable.write
def forget_balances(user_id: Any) -> list[Balance]:
    """The balances of somebody who wants to be forgotten are nobody's. Returns those with money on
    them: they stay, until it is spent or refunded."""
    rows = Balance.objects.using(durable.alias()).filter(user_id=user_id)
    rows.filter(units=0).update(user=None, holder="", asked_back_at=None)
    return list(rows.filter(units__gt=0))


@durable.write
def forget_counts(counted_as: str) -> None:
    """How many free requests somebody had, and what they read in a metered month."""
    FreeUse.objects.using(durable.alias()).filter(holder=counted_as).delete()
    metered(counted_as).delete()


def metered(counted_as: str) -> QuerySet[MeterCount]:
    """What somebody has had of each meter: its index begins with the meter."""
    using = durable.alias()
    meters = list(Meter.objects.using(using).values_list("pk", flat=True))
    return MeterCount.objects.using(using).filter(meter__in=meters, holder=counted_as)
