"""No query of the engine or the desk walks through all payments, events or receipts.

Whatever they ask is recorded and explained. A plan may walk through an index that only holds what
is open, and never through a table; so it does not matter how much is in it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client, override_settings
from django.utils import timezone

from paywall import ledger
from paywall.catalog import offers, path_rules
from paywall.entry.ways.passes import by_wallet as _by_wallet
from paywall.ledger import answers, balances, gifts, meters
from paywall.models import AlertMessage, Gift, Meter, Payment, Receipt, Resource
from paywall.privacy import people, retention
from paywall.rails.evm import orders
from paywall.reports import alerts, rollups, status
from paywall.settlement import worker
from tests.helpers import BLOCK, claim

pytestmark = [pytest.mark.django_db, pytest.mark.matrix]

BIG = (
    *("paywall_payment", "paywall_paymentevent", "paywall_receipt", "paywall_resource"),
    *("paywall_accesspass", "paywall_passdevice", "paywall_order", "paywall_gift"),
    *("paywall_metercount", "paywall_meterread", "paywall_tally"),
    *("paywall_balance", "paywall_balanceentry", "paywall_keptanswer"),
)
PARTIAL = (
    *("paywall_payment_due", "paywall_payment_open", "paywall_payment_closed"),
    *("paywall_resource_rules", "paywall_resource_rule_once"),
    *("paywall_order_open", "paywall_order_awaited"),
    *("paywall_resource_top_ups", "paywall_entry_open", "paywall_balance_asked_back"),
    "paywall_balance_held",
)
"""Indexes of what is open, or failed, only; and of what is held, added up by the index alone."""


@pytest.fixture
def trade(item, paywall_settings):
    """Some of everything."""
    paywall_settings(
        RPC_URLS={"eip155:84532": "http://127.0.0.1:9"},
        RPC_TIMEOUT=0.2,
        ALERT_EMAILS=["owner@example.com"],
    )
    for number in range(3):
        payment, _ = claim(item, f"confirmed {number}")
        ledger.settling([payment], 60, "default")
        ledger.settled([payment], BLOCK.reference)
        ledger.delivered(payment)
        ledger.confirmed([([payment], BLOCK)])
    failed, _ = claim(item, "failed")
    ledger.failed(failed, "abandoned")
    settled, _ = claim(item, "settled")
    ledger.settling([settled], 0, "default")
    ledger.settled([settled], BLOCK.reference)
    claim(item, "claimed", hold=0)
    rollups.roll_up()


def desk(path: str) -> Any:
    client = Client()
    client.force_login(
        User.objects.get_or_create(username="o", is_superuser=True, is_staff=True)[0]
    )
    return client.get(path)


PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


def reader(path: str, **headers: str) -> Any:
    """A browser that has its cookie, and a user."""
    client = Client()
    client.post("/paywall/begin/")
    client.force_login(User.objects.get_or_create(username="r")[0])
    return client.get(path, headers={**PERSON, **headers})


def metered(path: str) -> Any:
    meter, _ = Meter.objects.get_or_create(name="m", defaults={"uses": 2})
    Resource.objects.filter(slug="item").update(access="forever", meter=meter)
    offers.forget()
    return reader(path)


def given(path: str) -> Any:
    gift = Gift.objects.create(
        resource=Resource.objects.get(slug="item"),
        url=f"http://testserver{path}",
        expires_at=timezone.now() + timedelta(days=1),
    )
    metered(path)
    return reader(gifts.link(gift).removeprefix("http://testserver"))


def balance() -> Any:
    """One that is spent, shown, disputed and asked back."""
    client, user = Client(), User.objects.get_or_create(username="r")[0]
    client.post("/paywall/begin/")
    client.force_login(user)
    payment = Payment.objects.filter(state="confirmed").earliest("pk")
    Payment.objects.filter(pk=payment.pk).update(user=user)
    payment.refresh_from_db()
    balances.top_up(payment, "h" * 64)
    client.get("/item/", headers={**PERSON, "Paywall-Pay": "balance"})
    client.get("/paywall/balance/")
    client.post("/paywall/balance/back/")
    ledger.adopt("h" * 64, user.pk)
    balances.take_back(payment)
    balances.bring_back(payment)
    return client.get("/item/", headers=PERSON)


def ordered() -> Any:
    """An order, its page, and the look for its money."""
    Resource.objects.filter(slug="item").update(access="forever")
    offers.forget()
    sale, client = offers.load("item"), Client()
    made = orders.open_(sale.offers[0], ledger.Purpose(sale.resource_id, "GET", "http://x/"), None)
    client.get(f"/paywall/orders/{made.public_id}/")
    orders.watch()
    ledger.expire_orders()
    return ledger.order_of("a" * 64, made.public_id)


def forgotten() -> Any:
    """What is old, and what belonged to somebody."""
    user = User.objects.get_or_create(username="r")[0]
    Payment.objects.filter(pk=Payment.objects.earliest("pk").pk).update(user=user)
    for payment in Payment.objects.order_by("-pk")[:9]:
        old = timezone.now() - timedelta(days=9)
        Payment.objects.filter(pk=payment.pk).update(created_at=old)
    days = dict.fromkeys(("payloads", "urls", "users", "wallets", "events"), 1)
    with override_settings(PAYWALL={**settings.PAYWALL, "RETENTION": days}):
        retention.prune()
    person = people.user("r")
    return people.known(person), people.forget(person)


ASKS = {
    "what is forgotten": forgotten,
    "a reader": lambda: reader("/item/"),
    "a reader's purchases": lambda: reader("/paywall/purchases/"),
    "a metered reader": lambda: metered("/item/"),
    "a reader with a gift": lambda: given("/item/"),
    "a wallet's pass": lambda: _by_wallet(offers.load("item").resource_id, "0x" + "ab" * 20),
    "orders": ordered,
    "a balance": balance,
    "what was spent and forgotten": balances.give_back_forgotten,
    "balances in the admin": lambda: desk("/admin/paywall/balance/"),
    "balances asked back": lambda: desk("/admin/paywall/balance/?asked_back=yes"),
    "their entries": lambda: desk("/admin/paywall/balanceentry/"),
    "an earlier payment with the same key": lambda: answers.payment_of("0x" + "ab" * 20, "k" * 20),
    "answers that are kept": lambda: (
        answers.kept(Payment.objects.earliest("pk")),
        answers.forget_old(),
    ),
    "old meters": meters.forget_old,
    "settle": worker.settle,
    "sweep": worker.sweep,
    "confirm": worker.confirm_payments,
    "refunds": worker.see_to_refunds,
    "undone": lambda: worker.undone().count(),
    "status": status.take,
    "metrics": lambda: status.take(count_all=False),
    "health": status.is_keeping_up,
    "alerts": alerts.tell,
    "sums": rollups.roll_up,
    "rules": path_rules.load,
    "dashboard": lambda: desk("/dashboard/"),
    "today": lambda: desk("/dashboard/?period=today"),
    "receipts": lambda: desk("/dashboard/receipts/"),
    "by transaction": lambda: desk(f"/dashboard/receipts/?q={BLOCK.reference}"),
    "by the ends of a wallet": lambda: desk("/dashboard/receipts/?q=0x9965…A4dc"),
    "one receipt": lambda: desk(f"/dashboard/receipts/{Receipt.objects.latest('pk').pk}/"),
    "a later page": lambda: desk("/dashboard/receipts/?before=2026-01-01T00:00:00%2B00:00_9"),
    "payments in the admin": lambda: desk("/admin/paywall/payment/"),
    "needing a look": lambda: desk("/admin/paywall/payment/?attention=needed"),
}


def walks(sql: str, values: Any) -> list[str]:
    """What a query walks through of the big tables, by the database's own plan for it, with its
    values bound as they are when it is really asked."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
            lines = [row[-1] for row in cursor.fetchall() if row[-1].startswith("SCAN ")]
        else:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {sql}", values)
            lines = [row[0] for row in cursor.fetchall() if "Seq Scan on" in row[0]]
    return [
        line
        for line in lines
        if any(re.search(rf"(SCAN|Scan on) {table}\b", line) for table in BIG)
        and not any(index in line for index in PARTIAL)
    ]


NEWEST = re.compile(
    r'FROM "(paywall_\w+)" ORDER BY 1 (ASC|DESC) LIMIT 1$'
    r'|FROM "(paywall_\w+)"( (INNER|LEFT OUTER) JOIN .*)?'
    r' ORDER BY "\3"\."(id|issued_at)" (ASC|DESC)'
    r'(, "\3"\."id" (ASC|DESC))?( LIMIT \d+)?$'
)


def is_the_newest_few(sql: str) -> bool:
    """The first or last of a table by its key, with no condition: the end of an index, not a walk.
    (Django's admin leaves the limit out where it counted few.)"""
    if " WHERE " in sql:
        return sql.endswith("LIMIT 1")
    return bool(NEWEST.search(sql)) or sql.endswith(" LIMIT 5000) subquery")


@pytest.mark.parametrize("name", ASKS)
def test_nothing_walks_through_all_that_ever_was(trade, name):
    AlertMessage.objects.all().delete()
    ASKS[name]()  # sessions, users and the like are there then
    asked: list[tuple[str, Any]] = []

    def record(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("SELECT", "UPDATE")) and not many:
            asked.append((sql, values))
        return execute(sql, values, many, context)

    with connection.execute_wrapper(record):
        ASKS[name]()
    assert asked
    bad = {
        sql: found
        for sql, values in asked
        if (found := walks(sql, values)) and not is_the_newest_few(sql)
    }
    assert not bad
