"""The sums by day are the raw sums, whatever happened to payments, and however they were kept."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from paywall import business_days, ledger
from paywall.dashboard import figures, periods
from paywall.models import (
    Audience,
    BuyerDay,
    FailureDay,
    FreeUse,
    Payment,
    Price,
    Refund,
    ResourceDay,
    RollUp,
    SalesDay,
)
from paywall.models.exposure import UNITS
from paywall.reports import rollups
from paywall.settlement import refunds
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db


def raw(first: date, last: date, currency: str = "USD"):
    """The same sums in plain Python, from the payments."""
    zone_day = business_days.day_of
    chosen = [p for p in Payment.objects.all() if first <= zone_day(p.created_at) <= last]
    sold = [
        p
        for p in chosen
        if p.state in ("settled", "confirmed")
        or (p.state in ("claimed", "settling") and p.delivered_at is not None)
    ]
    ours = [p for p in sold if p.currency == currency]
    return {
        "sales": len(ours),
        "revenue": sum((p.price for p in ours), Decimal(0)),
        "unconfirmed": sum((p.price for p in ours if p.state != "confirmed"), Decimal(0)),
        "buyers": len({p.payer for p in sold}),
        "failed": Counter(p.error_code for p in chosen if p.state in ("failed", "lost")),
        "resources": Counter(p.resource_id for p in ours),
    }


def kept(first: date, last: date):
    found = figures.of(periods.Period("range", first, last), "USD")
    return {
        "sales": int(found.sales.now),
        "revenue": found.revenue.now,
        "unconfirmed": found.unconfirmed,
        "buyers": int(found.buyers.now),
        "failed": Counter({share.key: share.sales for share in found.failures}),
        "resources": Counter({int(share.key): share.sales for share in found.resources}),
    }


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def everything():
    """All rows of the sums, without keys, to compare."""
    return {
        model: sorted(
            tuple(row[f.attname] for f in model._meta.concrete_fields if f.name != "id")
            for row in model.objects.values()
        )
        for model in (SalesDay, ResourceDay, FailureDay, BuyerDay)
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_sums_are_the_raw_sums_after_every_kind_of_move(make_resource, seed, settings):
    """A fortnight of payments at random, added up after each few moves, against plain Python."""
    settings.PAYWALL = {**settings.PAYWALL, "TIME_ZONE": "Asia/Kathmandu"}
    rng = random.Random(seed)
    wares = [make_resource(f"ware-{n}", price=p) for n, p in enumerate(["0.01", "0.333", "7"])]
    open_ones: list[Payment] = []
    for step in range(60):
        if not open_ones or rng.random() < 0.5:
            payment, _ = claim(rng.choice(wares), f"{seed} {step}")
            payment.created_at = ago(rng.random() * 14)
            payment.payer = f"0x{rng.randrange(6):040x}"
            payment.save(update_fields=["created_at", "payer"])
            open_ones.append(payment)
        else:
            payment = rng.choice(open_ones)
            payment.refresh_from_db()
            if payment.state == "claimed":
                if rng.random() < 0.3:
                    ledger.failed(payment, rng.choice(["abandoned", "view_failed"]))
                else:
                    ledger.settling([payment], 60, "default")
                    ledger.settled([payment], BLOCK.reference)
                    ledger.delivered(payment)
            elif payment.state == "settled":
                if rng.random() < 0.3:
                    ledger.lost(payment, "nothing_moved")
                else:
                    ledger.confirmed([([payment], BLOCK)])
        if step % 10 == 9:
            rollups.roll_up()
    rollups.roll_up()
    today = business_days.today()
    for days in (1, 2, 5, 15):
        first = today - timedelta(days=days - 1)
        assert kept(first, today) == raw(first, today), days
    middle = today - timedelta(days=7), today - timedelta(days=3)
    assert kept(*middle) == raw(*middle)
    before = everything()
    rollups.rebuild()
    assert everything() == before


def late_in_the_day() -> datetime:
    """Three days ago, half an hour before midnight in UTC."""
    return ago(3).astimezone(UTC).replace(hour=23, minute=30)


def failed_at(item, at: datetime) -> None:
    claim(item)
    Payment.objects.all().move(
        "failed", created_at=at, error_code="abandoned", closed_at=timezone.now()
    )


def test_a_day_begins_where_the_owner_is(item, settings):
    settings.PAYWALL = {**settings.PAYWALL, "TIME_ZONE": "Pacific/Auckland"}
    failed_at(item, late_in_the_day())
    rollups.rebuild()
    assert FailureDay.objects.get().day == late_in_the_day().date() + timedelta(days=1)


def test_another_time_zone_makes_all_days_anew(item, settings):
    failed_at(item, late_in_the_day())
    rollups.rebuild()
    assert FailureDay.objects.get().day == late_in_the_day().date()
    settings.PAYWALL = {**settings.PAYWALL, "TIME_ZONE": "Europe/Berlin"}
    rollups.roll_up()
    assert FailureDay.objects.get().day == late_in_the_day().date() + timedelta(days=1)
    assert RollUp.objects.get().time_zone == "Europe/Berlin"


def test_what_moves_long_after_its_day_changes_that_day_and_the_buyers_next(item):
    """A payment of a week ago is lost: that day loses a sale, and the buyer's next day gains a
    buyer who had not been there since."""
    early, _ = claim(item, "early")
    late, _ = claim(item, "late")
    for payment, days in ((early, 7), (late, 5)):
        ledger.settling([payment], 60, "default")
        ledger.settled([payment], BLOCK.reference)
        Payment.objects.filter(pk=payment.pk).update(created_at=ago(days))
    rollups.rebuild()
    today = business_days.today()
    week = today - timedelta(days=8)
    assert kept(week, today)["buyers"] == 1
    RollUp.objects.update(event=10**9, next_event=10**9)
    RollUp.objects.update(event=0)
    early.refresh_from_db()
    ledger.lost(early, "nothing_moved")
    rollups.roll_up()
    assert kept(week, today) == raw(week, today)
    assert kept(week, today)["buyers"] == 1


def test_refunds_are_taken_off_the_day_of_the_sale(item, paywall_settings):
    paywall_settings(TREASURY_KEY="0x" + "11" * 32, RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    payment, _ = claim(item)
    ledger.settling([payment], 60, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.confirmed([([payment], BLOCK)])
    rollups.rebuild()
    refund = refunds.request(payment, 4_000, "half of it", by=None, seen=0)
    rollups.roll_up()
    # What is only asked for, or said to be sent, has not gone back.
    assert SalesDay.objects.get().refunded_units == 0
    Refund.objects.all().move("sent", reference="0x" + "5" * 64)
    rollups.roll_up()
    assert SalesDay.objects.get().refunded_units == 0
    refunds._confirmed(refund, "0x" + "5" * 64)
    rollups.roll_up()
    assert SalesDay.objects.get().refunded_units == UNITS * 4 // 1000
    found = figures.of(periods.read({"period": "today"}))
    assert found.refunded.now == Decimal("0.004")
    assert found.revenue.now == Decimal("0.01")


def test_a_new_day_forgets_the_free_requests_of_others(item):
    everyone = Audience.objects.create(name="All", kind="everyone")
    terms = {"free_uses": 3, "free_per": "all", "free_every": "day", "amount": 0}
    Price.objects.create(resource=item, audience=everyone, **terms)
    for period in ("2026-01-01", business_days.today().isoformat(), "ever"):
        FreeUse.objects.create(
            resource=item, audience=everyone, holder="all", period=period, used=1
        )
    rollups.roll_up()
    assert not FreeUse.objects.filter(period="2026-01-01").exists()
    assert FreeUse.objects.count() == 2


def test_two_workers_do_not_add_up_at_once(item):
    rollups.roll_up()
    RollUp.objects.update(held_until=timezone.now() + timedelta(minutes=1))
    assert rollups.roll_up() == 0


def test_credit_counts_as_sold_and_unconfirmed(make_resource, paywall_settings):
    ware = make_resource("cheap", policy="background")
    payment, _ = claim(ware)
    Payment.objects.update(on_credit=True)
    payment.refresh_from_db()
    ledger.delivered(payment)
    rollups.rebuild()
    day = SalesDay.objects.get()
    assert (day.sales, day.unconfirmed, day.policy) == (1, 1, "after")


def test_prices_that_floats_cannot_hold_are_summed_exactly(make_resource):
    ware = make_resource("fine", price="0.1")
    Price.objects.filter(resource=ware)
    for number in range(50):
        payment, _ = claim(ware, str(number))
        Payment.objects.filter(pk=payment.pk).move(
            "settled",
            price=Decimal("0.10000001"),
            settled_at=timezone.now(),
            reference="0x1",
            captured="1",
        )
    rollups.rebuild()
    assert SalesDay.objects.get().revenue_units == 50 * 10_000_001
