"""Balances: what a holder paid ahead, spends by the page, and may have back. The only writer.

A balance never goes below zero: each change that takes is one conditional UPDATE. Every change is
an entry, written in the same transaction, and the balance is the sum of those that were not undone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import F, Q
from django.utils import timezone

from paywall import durable
from paywall.exceptions import Code, StaleMove, Unavailable
from paywall.ledger.passes import lasts_until, make_pass
from paywall.models import AccessPass, Balance, BalanceEntry, Payment, Refund, Resource
from paywall.models.balances import IS_OPEN
from paywall.models.exposure import UNITS, in_currency
from paywall.models.literals import Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywall.ledger.claims import Purpose

log = logging.getLogger(__name__)

State, Kind = BalanceEntry.State, BalanceEntry.Kind

TO_BE_OPENED_FOR = timedelta(minutes=10)
"""How long what was spent waits for its page to be opened, before the money is back."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Who asks: a signed-in user, a browser, or both. A user's balance is asked first."""

    user_id: Any
    browser: str

    @property
    def is_nobody(self) -> bool:
        return self.user_id is None and not self.browser

    def balances(self) -> list[Balance]:
        """All that is theirs. At most two queries, each by an index of its own."""
        rows = Balance.objects.using(durable.alias())
        found = list(rows.filter(user=self.user_id)) if self.user_id is not None else []
        if self.browser:
            found += rows.filter(Q(holder=self.browser) & ~Q(holder=Literal("")))
        return found


@durable.write
def top_up(payment: Payment, holder: str) -> None:
    """A payment's price goes onto the balance of the user who paid, or else of the browser that
    `holder` names. Once: told of again, it changes nothing."""
    if _entries(payment, Kind.TOP_UP):
        return
    balance = _balance_for(Whose(payment.user_id, holder), payment.currency)
    units = _units(payment.price)
    _change(balance.pk, units)
    _add(balance, Kind.TOP_UP, units, payment=payment)
    log.info("payment=%s tops up balance=%s", payment.pk, balance.pk)


@durable.write
def spend(
    whose: Whose,
    prices: Mapping[str, Decimal],
    purpose: Purpose,
    *,
    by_request: bool,
    hold: float = 0,
) -> BalanceEntry | None:
    """Take a page's price (by currency) off the first balance that has it; None where none does.

    What this balance has spent on the same page and not had is taken up instead of spending anew.
    The entry is held for `hold` seconds. Raises `Unavailable` where that page is just being opened
    with it.
    """
    for balance in whose.balances():
        price = prices.get(balance.currency)
        entry = price and _spend(balance, _units(price), purpose, by_request, hold)
        if entry:
            return entry
    return None


def _spend(
    balance: Balance, units: int, purpose: Purpose, by_request: bool, hold: float
) -> BalanceEntry | None:
    using, now = durable.alias(), timezone.now()
    # The balance's row is the lock: of two clicks at once, the second finds what the first took.
    Balance.objects.using(using).filter(pk=balance.pk).update(changed_at=now)
    spent = BalanceEntry.objects.using(using).filter(
        balance=balance, resource_id=purpose.resource_id, kind=Kind.SPENT
    )
    waiting = spent.filter(IS_OPEN, **({"url": purpose.url} if by_request else {}))
    found = waiting.filter(held_until__lte=now).order_by("pk").first()
    if found is not None:
        return _take_up(found, hold)
    if not by_request and (waiting.exists() or _is_open_to(balance, purpose.resource_id)):
        raise Unavailable(Code.SETTLEMENT_PENDING)
    if not _change(balance.pk, -units):
        return None
    return _add(
        balance,
        Kind.SPENT,
        -units,
        state=State.OPEN,
        resource_id=purpose.resource_id,
        url=purpose.url,
        holder=purpose.holder,
        held_until=now + timedelta(seconds=hold),
    )


@durable.write
def to_be_opened(
    holder: str, resource_id: int, url: str | None, hold: float
) -> BalanceEntry | None:
    """What that browser has spent on a page (at that URL, or with None at any) and not had, held
    for so many seconds; None where there is nothing, or another request is at it."""
    rows = BalanceEntry.objects.using(durable.alias()).filter(
        Q(holder=holder) & IS_OPEN, resource_id=resource_id, held_until__lte=timezone.now()
    )
    found = (rows if url is None else rows.filter(url=url)).order_by("pk").first()
    return None if found is None else _take_up(found, hold)


def _take_up(entry: BalanceEntry, hold: float) -> BalanceEntry | None:
    until = timezone.now() + timedelta(seconds=hold)
    if not _same(entry).update(attempts=F("attempts") + 1, held_until=until):
        return None
    durable.set_fields(entry, attempts=entry.attempts + 1, held_until=until)
    return entry


@durable.write
def let_go(entry: BalanceEntry) -> None:
    """Whoever opens its page next may have it."""
    _same(entry).update(held_until=timezone.now())


@durable.write
def used(
    entry: BalanceEntry, access: str, pass_seconds: int | None, amount: Decimal | None = None
) -> None:
    """The page goes out now: at most once, so this is written before it leaves. With the pass that
    it opens, if it opens one. What is charged by use came to `amount`: the rest is back.

    Raises `StaleMove` if another request took over, or the money is back.
    """
    now = timezone.now()
    if amount is not None:
        rest = max(-entry.units - _units(amount), 0)
        if rest == -entry.units:
            if not given_back(entry):
                raise StaleMove(f"entry={entry.pk} of balance={entry.balance_id} was taken over")
            return
        if rest and _same(entry).update(units=F("units") + rest):
            _change(balance_of(entry).pk, rest)
            durable.set_fields(entry, units=entry.units + rest)
    if not _same(entry).move(State.DONE, ended_at=now):
        raise StaleMove(f"entry={entry.pk} of balance={entry.balance_id} was taken over")
    durable.set_fields(entry, state=State.DONE, ended_at=now)
    if access == Resource.Access.REQUEST:
        return
    its = {
        "source": AccessPass.Source.BALANCE,
        "balance_entry": entry,
        "user_id": balance_of(entry).user_id,
    }
    until = lasts_until(now, pass_seconds)
    make_pass(entry.resource_id or 0, entry.holder, now, until, **its)


@durable.write
def given_back(entry: BalanceEntry) -> bool:
    """No page went out: the money is back. Whether it was this that brought it back."""
    if not _same(entry).move(State.UNDONE, ended_at=timezone.now()):
        return False
    durable.set_fields(entry, state=State.UNDONE)
    _bring(entry)
    return True


def give_back_forgotten(most: int = 200) -> int:
    """What was spent on pages that nobody opened. Returns how many those were."""
    before = timezone.now() - TO_BE_OPENED_FOR
    rows = BalanceEntry.objects.using(durable.alias()).filter(IS_OPEN, held_until__lt=before)
    return sum(given_back(entry) for entry in rows.order_by("held_until")[:most])


@durable.write
def take_back(payment: Payment) -> Decimal:
    """The money that topped up a balance is gone (disputed, lost): what is left of it comes off.
    Returns what could not be taken, as it is spent."""
    found = _entries(payment, Kind.TOP_UP)
    if not found or _entries(payment, Kind.TAKEN_BACK):
        return Decimal(0)
    (entry,) = found
    rows = Balance.objects.using(durable.alias()).filter(pk=entry.balance_id)
    rows.update(changed_at=timezone.now())  # the lock
    balance = balance_of(entry)
    owed = entry.units - _refunded(payment)
    taken = min(owed, balance.units)
    _change(balance.pk, -taken)
    _add(balance, Kind.TAKEN_BACK, -taken, payment=payment)
    short = in_currency(owed - taken)
    if short:
        log.error("payment=%s is gone; %s of it was spent already", payment.pk, short)
    return short


@durable.write
def bring_back(payment: Payment) -> None:
    """The money is there after all: what `take_back` took is back."""
    for entry in _entries(payment, Kind.TAKEN_BACK):
        _undo(entry)


@durable.write
def refund(refunded: Refund) -> bool:
    """What goes back to its payer comes off the balance that it had topped up. False where so much
    is not there any more; True where nothing was topped up."""
    payment = refunded.payment
    found = _entries(payment, Kind.TOP_UP)
    if not found:
        return True
    units = _units(Decimal(refunded.amount).scaleb(-payment.taken_offer.decimals))
    if _entries(payment, Kind.TAKEN_BACK) or not _change(found[0].balance_id, -units):
        return False
    _add(found[0].balance, Kind.REFUND, -units, payment_id=None, refund=refunded)
    return True


@durable.write
def refund_undone(refunded: Refund) -> None:
    """Nothing went back to the payer: it is on the balance again, unless the payment itself is gone
    by now."""
    for entry in BalanceEntry.objects.using(durable.alias()).filter(refund=refunded):
        if entry.state == State.DONE:
            _undo(entry)
    if _entries(refunded.payment, Kind.TAKEN_BACK):
        bring_back(refunded.payment)
        take_back(refunded.payment)


@durable.write
def adopt(holder: str, user_id: Any) -> None:
    """What a browser has is its user's from now on."""
    using = durable.alias()
    for balance in Whose(None, holder).balances():
        rows = Balance.objects.using(using).filter(pk=balance.pk)
        rows.update(changed_at=timezone.now())  # the lock
        own = _balance_for(Whose(user_id, ""), balance.currency)
        units = rows.values_list("units", flat=True).get()
        BalanceEntry.objects.using(using).filter(balance=balance).update(balance=own)
        _change(own.pk, units)
        if balance.asked_back_at is not None:
            theirs = Balance.objects.using(using).filter(pk=own.pk, asked_back_at=None)
            theirs.update(asked_back_at=balance.asked_back_at)
        rows.delete()


@durable.write
def ask_back(whose: Whose) -> int:
    """A holder asks for the rest: the owner is told. Returns in how many currencies."""
    keys = [balance.pk for balance in whose.balances() if balance.units]
    rows = Balance.objects.using(durable.alias()).filter(pk__in=keys, asked_back_at=None)
    return rows.update(asked_back_at=timezone.now())


@durable.write
def answered(balance: Balance) -> None:
    """The owner has seen to what its holder asked for."""
    rows = Balance.objects.using(durable.alias()).filter(pk=balance.pk)
    rows.update(asked_back_at=None)


@durable.read
def balance_of(entry: BalanceEntry) -> Balance:
    """The balance that an entry is of, as it stands now: its holder may have moved it to an
    account."""
    return Balance.objects.using(durable.alias()).get(entries=entry.pk)


@durable.read
def mine(whose: Whose) -> list[Balance]:
    """What who asks has, in each currency."""
    return whose.balances()


@durable.read
def statement(balances: list[Balance], before: int | None, most: int) -> list[BalanceEntry]:
    """Their entries, the newest first, with what they were for."""
    rows = BalanceEntry.objects.using(durable.alias()).filter(balance__in=balances)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    known = rows.select_related("balance", "resource", "payment__receipt")
    return list(known.order_by("-pk")[:most])


@durable.read
def paid_by(balances: list[Balance]) -> list[int]:
    """The keys of the payments that topped them up."""
    rows = BalanceEntry.objects.using(durable.alias()).filter(
        balance__in=balances, kind=Kind.TOP_UP
    )
    return [key for key in rows.values_list("payment_id", flat=True) if key]


def _balance_for(whose: Whose, currency: str) -> Balance:
    key: dict[str, Any] = {"currency": currency}
    if whose.user_id is not None:
        key |= {"user_id": whose.user_id, "holder": ""}
    else:
        key |= {"user": None, "holder": whose.browser}
    return Balance.objects.using(durable.alias()).get_or_create(**key)[0]


def _change(balance_id: int, units: int) -> bool:
    """Add to a balance, or take from it what it has. False where it has not so much."""
    rows = Balance.objects.using(durable.alias()).filter(pk=balance_id)
    if units < 0:
        rows = rows.filter(units__gte=-units)
    return bool(rows.update(units=F("units") + units, changed_at=timezone.now()))


def _add(balance: Balance, kind: BalanceEntry.Kind, units: int, **more: Any) -> BalanceEntry:
    return BalanceEntry.objects.using(durable.alias()).create(
        balance=balance, kind=kind, units=units, **more
    )


def _undo(entry: BalanceEntry) -> None:
    rows = BalanceEntry.objects.using(durable.alias()).filter(pk=entry.pk, state=State.DONE)
    if rows.move(State.UNDONE, ended_at=timezone.now()):
        _bring(entry)


def _bring(entry: BalanceEntry) -> None:
    """Its money is on the balance again: on the one that it belongs to now."""
    if not _change(balance_of(entry).pk, -entry.units):
        raise StaleMove(f"the balance of entry={entry.pk} was just given to its user")


def _same(entry: BalanceEntry) -> Any:
    """The row, if nobody has taken it up or ended it since."""
    rows = BalanceEntry.objects.using(durable.alias())
    return rows.filter(IS_OPEN, pk=entry.pk, attempts=entry.attempts)


def _entries(payment: Payment, kind: BalanceEntry.Kind) -> list[BalanceEntry]:
    rows = BalanceEntry.objects.using(durable.alias()).filter(payment=payment, kind=kind)
    return list(rows.exclude(state=State.UNDONE).select_related("balance"))


def _refunded(payment: Payment) -> int:
    """What of a payment went back to its payer, or is about to."""
    refunds = BalanceEntry.objects.using(durable.alias()).filter(refund__payment=payment)
    return -sum(refunds.exclude(state=State.UNDONE).values_list("units", flat=True))


def _is_open_to(balance: Balance, resource_id: int) -> bool:
    """Whether it has bought a pass there that is good: a click too many buys nothing."""
    passes = AccessPass.objects.using(durable.alias()).filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        balance_entry__balance=balance,
        resource_id=resource_id,
        revoked_at=None,
    )
    return passes.exists()


def _units(amount: Decimal) -> int:
    return int(amount * UNITS)
