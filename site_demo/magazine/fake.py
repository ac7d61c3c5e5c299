"""A year of trade that never happened: the same for the same numbers, and fast.

Rows are written in bulk (COPY on PostgreSQL), past the ledger: nothing of it is on any chain.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, islice
from typing import Any

from django.db import ProgrammingError, connections, models, transaction

from paywall import durable
from paywall.models import Account, Payment, PaymentEvent, Receipt, Refund, VisitorDay
from paywall.models.exposure import UNITS
from paywall.rails.evm.addresses import checksum
from paywall.rails.evm.schemes import eip3009

BATCH = 20_000
EVENTS_FOR = 20_000
"""The newest payments have their events, so that their stories can be read."""

REFUND_EVERY = 1500
DAYS = 365

FAILURES = [
    ("settlement_refused", 50),
    ("view_failed", 20),
    ("abandoned", 12),
    ("never_settled", 10),
    ("transaction_reverted", 5),
    ("authorization_spent_elsewhere", 3),
]
HOURS = [2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 9, 10, 10, 9, 8, 8, 9, 10, 9, 7, 5, 3]
"""How busy each hour of a day (UTC) is."""
WEEKDAYS = [1.0, 1.04, 1.05, 1.02, 0.97, 0.8, 0.85]

Row = dict[str, str | None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ware:
    """A resource as the year's buyers see it."""

    id: int
    slug: str
    title: str
    policy: str
    price: Decimal
    weight: float


@dataclass(frozen=True, slots=True)
class Till:
    """An account, with what its payments share."""

    account: Account
    weight: int


class Year:
    """The payments of a year up to a day, in the order in which they were made."""

    def __init__(
        self, payments: int, until: date, wares: Sequence[Ware], tills: Sequence[Till], seed: int
    ) -> None:
        self.payments, self.until, self.seed = payments, until, seed
        self.wares, self.tills = wares, tills
        self._ware_weights = list(accumulate(ware.weight for ware in wares))
        self._till_weights = list(accumulate(till.weight for till in tills))
        self._buyers = max(10, min(200_000, payments // 6))
        self._payer: dict[int, str] = {}
        self._constant: dict[tuple[int, int], tuple[str, str, str, str, str]] = {}
        # A day that is not over yet has only its first hours.
        is_over = until < datetime.now(UTC).date()
        self._hours = 24 if is_over else max(1, datetime.now(UTC).hour)
        self._now = datetime(until.year, until.month, until.day, tzinfo=UTC)
        self._now += timedelta(hours=self._hours)
        self._first_id = _last_id(Payment) + 1
        self._first_receipt = _last_id(Receipt) + 1
        numbers = Receipt.objects.using(durable.alias())
        self._number = numbers.aggregate(n=models.Max("number"))["n"] or 0
        self._receipts = 0

    def per_day(self) -> list[tuple[date, int]]:
        """How many on which day: growing, quieter on weekends, with a few great days."""
        rng = random.Random(self.seed)
        days = [self.until - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
        weights = [
            (0.35 + number / DAYS)
            * WEEKDAYS[day.weekday()]
            * rng.uniform(0.85, 1.15)
            * (2.5 if rng.random() < 0.01 else 1)
            for number, day in enumerate(days)
        ]
        shares = [self.payments * total / sum(weights) for total in accumulate(weights)]
        edges = [0, *(round(share) for share in shares)]
        return [(day, edges[n + 1] - edges[n]) for n, day in enumerate(days)]

    def rows(self) -> Iterator[tuple[Row, Row | None]]:
        """Each payment with its receipt, if it has one."""
        index = 0
        for number, (day, count) in enumerate(self.per_day()):
            rng = random.Random(f"{self.seed} {day}")
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            open_hours = HOURS[: self._hours] if day == self.until else HOURS
            hours = rng.choices(range(len(open_hours)), open_hours, k=count)
            moments = sorted(hour * 3600 + rng.random() * 3600 for hour in hours)
            known = max(10, self._buyers * (number + 30) // (DAYS + 30))
            for seconds in moments:
                at = midnight + timedelta(seconds=seconds)
                yield self._row(index, at, rng, known)
                index += 1

    def _row(
        self, index: int, at: datetime, rng: random.Random, known: int
    ) -> tuple[Row, Row | None]:
        chance = rng.random
        ware_index = bisect(self._ware_weights, chance() * self._ware_weights[-1])
        till_index = bisect(self._till_weights, chance() * self._till_weights[-1])
        ware, account = self.wares[ware_index], self.tills[till_index].account
        # Some buyers come back again and again, most now and then.
        buyer = int(known * chance() ** 2.5)
        offer, sold, amount, price, url = self._of(ware_index, till_index)
        digest = hashlib.sha256(b"%d %d" % (self.seed, index)).hexdigest()
        payer = self._address(buyer)
        nonce, reference = "0x" + digest, "0x" + digest[::-1]
        on_credit = ware.policy == "background"
        fate = chance()
        settled = at + timedelta(seconds=1 + 8 * chance())
        confirmed = settled + timedelta(seconds=10 + 50 * chance())
        state, code = "confirmed", ""
        if fate < 0.03:
            state, code = "failed", _pick(FAILURES, chance())
        elif fate < 0.0302:
            state, code = "lost", "nothing_moved"
        elif confirmed > self._now:
            state = "settled" if settled <= self._now else "settling"
        is_settled = state in ("settled", "confirmed", "lost")
        is_delivered = is_settled or (on_credit and (state != "failed" or code == "never_settled"))
        closed = confirmed if code else None
        created = _time(at)
        key = str(self._first_id + index)
        payment: Row = {
            "id": key,
            "identity": eip3009.identity(account.network, account.terms["asset"], payer, nonce),
            "resource_id": str(ware.id),
            "account_id": str(account.pk),
            "user_id": None,
            "holder": "",
            "method": "GET",
            "url": url,
            "protocol": "x402/1" if buyer % 9 == 0 else "x402/2",
            "offer": offer,
            "payload": "{}",
            "rail": account.rail,
            "network": account.network,
            "payer": payer,
            "authorized": amount,
            "captured": amount if is_settled else None,
            "price": price,
            "currency": account.currency,
            "state": state,
            "policy": ware.policy,
            "on_credit": "1" if on_credit else "0",
            "facilitator": "default",
            "error_code": code,
            "error_detail": "",
            "reference": reference if is_settled else "",
            "position": str(20_000_000 + int((at.timestamp() - 1_700_000_000) / 2))
            if state == "confirmed"
            else None,
            "evidence": json.dumps({"block_hash": "0x" + digest}) if state == "confirmed" else "{}",
            "refunded": "0",
            "attempts": "1",
            "held_until": created,
            "due_at": created,
            "expires_at": _time(at + timedelta(minutes=5)),
            "created_at": created,
            "settled_at": _time(settled) if is_settled else None,
            "delivered_at": _time(settled) if is_delivered else None,
            "confirmed_at": _time(confirmed) if state == "confirmed" else None,
            "closed_at": _time(closed) if closed else None,
        }
        if not (is_settled or is_delivered):
            return payment, None
        number = None
        if state == "confirmed":
            self._number += 1
            number = str(self._number)
        receipt: Row = {
            "id": str(self._first_receipt + self._receipts),
            "public_id": base64.urlsafe_b64encode(bytes.fromhex(digest[:32])).decode().rstrip("="),
            "payment_id": key,
            "number": number,
            "sold": sold,
            "issued_at": _time(settled),
        }
        self._receipts += 1
        return payment, receipt

    def _of(self, ware_index: int, till_index: int) -> tuple[str, str, str, str, str]:
        """What all payments for a ware at a till share."""
        found = self._constant.get((ware_index, till_index))
        if found is not None:
            return found
        ware, account = self.wares[ware_index], self.tills[till_index].account
        amount = str(int(ware.price.scaleb(account.decimals)))
        price = f"{ware.price:f}"
        url = f"http://localhost:8402/articles/{ware.slug}/"
        offer = {
            "rail": account.rail,
            "scheme": "exact",
            "network": account.network,
            "amount": amount,
            "timeout": 300,
            "terms": account.its_rail.offered(account)[1],
            "account_id": account.pk,
            "price_id": 0,
            "price": price,
            "currency": account.currency,
            "symbol": account.symbol,
            "decimals": account.decimals,
        }
        sold = {
            "resource": ware.slug,
            "title": ware.title,
            "url": url,
            "method": "GET",
            "price": price,
            "currency": account.currency,
            "symbol": account.symbol,
        }
        found = json.dumps(offer), json.dumps(sold), amount, price, url
        self._constant[ware_index, till_index] = found
        return found

    def _address(self, buyer: int) -> str:
        if buyer not in self._payer:
            digest = hashlib.sha256(b"buyer %d %d" % (self.seed, buyer)).hexdigest()
            self._payer[buyer] = checksum("0x" + digest[:40])
        return self._payer[buyer]


def write(year: Year, progress: Progress) -> None:
    """Write a year's payments, receipts, some events and refunds."""
    _trust_the_references()
    done, rows = 0, year.rows()
    while chunk := list(islice(rows, BATCH)):
        payments = [payment for payment, _ in chunk]
        _insert(Payment, payments)
        _insert(Receipt, [receipt for _, receipt in chunk if receipt is not None])
        done += len(chunk)
        if year.payments - done < EVENTS_FOR:
            _write_events(payments)
        _write_refunds(payments)
        progress(done, year.payments)
    for model in (Payment, Receipt):
        _reset_sequence(model)


KNOCKING = [
    # kind, bot, purpose, how many for a sale, and which share of them reads without paying
    ("paying", "", "", 1.0, 0.0),
    ("verified", "Googlebot", "search", 1.6, 1.0),
    ("verified", "GPTBot", "train", 2.1, 0.0),
    ("verified", "ChatGPT-User", "user", 0.9, 1.0),
    ("claimed", "ClaudeBot", "train", 1.4, 0.0),
    ("claimed", "Bytespider", "train", 3.2, 0.0),
    ("claimed", "GPTBot", "train", 0.3, 0.0),
    ("claimed", "AhrefsBot", "other", 0.8, 0.0),
    ("browser", "", "", 2.4, 0.1),
    ("unknown", "", "", 4.0, 0.0),
]
"""Who comes to such a site, beside those who pay."""

DAYS_OF_VISITS, WARES_VISITED = 30, 40


def visits(wares: list[Ware], until: date, payments: int, seed: int) -> Iterator[VisitorDay]:
    """Who knocked on the last days, in the measure of what was sold."""
    rng = random.Random(seed)
    whole = sum(ware.weight for ware in wares)
    for back in range(DAYS_OF_VISITS):
        for ware in wares[:WARES_VISITED]:
            sold = payments / DAYS * ware.weight / whole
            for kind, bot, purpose, share, free in KNOCKING:
                number = round(sold * share * rng.uniform(0.7, 1.3))
                if not number:
                    continue
                paid, reads = number if kind == "paying" else 0, round(number * free)
                yield VisitorDay(
                    day=until - timedelta(days=back),
                    resource_id=ware.id,
                    kind=kind,
                    bot=bot,
                    purpose=purpose,
                    currency="USD",
                    paid=paid,
                    free=reads,
                    refused=number if bot == "Bytespider" else 0,
                    asked=0 if bot == "Bytespider" else number - paid - reads,
                    revenue_units=int(paid * ware.price * UNITS),
                )


def _trust_the_references() -> None:
    """All that the rows refer to is there: where we may, have PostgreSQL not look it up."""
    connection = connections[durable.alias()]
    if connection.vendor != "postgresql":
        return
    savepoint = transaction.atomic(using=durable.alias())
    with contextlib.suppress(ProgrammingError), savepoint, connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")


def _write_events(payments: list[Row]) -> None:
    events: list[PaymentEvent] = []
    for values in payments:
        told: dict[str, Any] = {"reference": values["reference"]} if values["reference"] else {}
        moves = [(state, values[f"{state}_at"], told) for state in ("settled", "confirmed")]
        if values["state"] in ("failed", "lost"):
            why: dict[str, Any] = {"error_code": values["error_code"]}
            moves.append((str(values["state"]), values["closed_at"], why))
        events += [
            PaymentEvent(
                payment_id=int(str(values["id"])),
                kind=str(kind),
                data=data,
                at=_moment(at),
            )
            for kind, at, data in moves
            if at
        ]
    PaymentEvent.objects.using(durable.alias()).bulk_create(events, batch_size=5000)


def _write_refunds(payments: list[Row]) -> None:
    refunds = []
    for values in payments:
        key = int(str(values["id"]))
        if key % REFUND_EVERY or values["state"] != "confirmed":
            continue
        at = _moment(str(values["confirmed_at"])) + timedelta(hours=3)
        refunds.append(
            Refund(
                payment_id=key,
                amount=str(values["captured"]),
                reason="The buyer asked for it.",
                state=Refund.State.CONFIRMED,
                is_ours_to_send=True,
                reference="0x" + hashlib.sha256(b"refund %d" % key).hexdigest(),
                created_at=at,
                closed_at=at,
            )
        )
    Refund.objects.using(durable.alias()).bulk_create(refunds)
    keys = [refund.payment_id for refund in refunds]
    rows = Payment.objects.using(durable.alias()).filter(pk__in=keys)
    rows.update(refunded=models.F("captured"))


def _insert(model: type[models.Model], rows: list[Row]) -> None:
    connection = connections[durable.alias()]
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    if not rows:
        return
    named = {field.attname: field.column or "" for field in model._meta.concrete_fields}
    # Columns that came later, and that no row here has anything to say of.
    later = {
        field.attname: str(field.get_default())
        for field in model._meta.concrete_fields
        if field.attname not in rows[0] and not field.null
    }
    rows = [{**row, **later} for row in rows]
    columns = ", ".join(quote(named[name]) for name in rows[0])
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                copy.write("".join(map(_line, rows)))
        else:
            places = ", ".join(["%s"] * len(rows[0]))
            values = [list(row.values()) for row in rows]
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", values)  # noqa: S608


def _line(row: Row) -> str:
    # No value here has a tab or a newline; JSON has backslashes.
    fields = (r"\N" if value is None else value.replace("\\", "\\\\") for value in row.values())
    return "\t".join(fields) + "\n"


def _time(moment: datetime) -> str:
    """As both databases read it, in UTC."""
    return moment.isoformat(" ", "microseconds")[:26]


def _last_id(model: type[models.Model]) -> int:
    rows = model._default_manager.using(durable.alias())
    return int(rows.aggregate(last=models.Max("pk"))["last"] or 0)


def _reset_sequence(model: type[models.Model]) -> None:
    from django.core.management.color import no_style

    connection = connections[durable.alias()]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(statement)


def _pick(weighted: list[tuple[str, int]], chance: float) -> str:
    edges = list(accumulate(weight for _, weight in weighted))
    return weighted[bisect(edges, chance * edges[-1])][0]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
