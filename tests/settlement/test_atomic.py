"""What is read, changed and written back loses nothing when two do it at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from paywall import ledger
from paywall.effects import run
from paywall.exceptions import StaleMove
from paywall.models import (
    Cursor,
    FacilitatorHealth,
    Refund,
    RollUp,
    SalesDay,
    Transaction,
    Wallet,
)
from paywall.rails.evm import cursors, evidence, finding, own_transactions
from paywall.rails.evm.addresses import topic
from paywall.rails.evm.eip3009 import AUTHORIZATION_USED_TOPIC, TransferAuthorization
from paywall.rails.evm.rpc import Block, Declined, TransactionReceipt
from paywall.rails.evm.transactions import Fees
from paywall.reports import rollups
from paywall.secret import Secret
from paywall.settlement import refunds, settling
from paywall.settlement.facilitators import health
from paywall.vocabulary import Clue, Undecided
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db

KEY = Secret("0x" + "11" * 32)


def test_failures_of_a_facilitator_are_counted_by_the_database(db):
    """Of two who read the same number, none writes the other's away."""
    for _ in range(2):
        run(health.failed("default", "no answer"))
    stale = FacilitatorHealth.objects.get()
    run(health.failed("default", "no answer"))
    assert stale.failures == 2
    found = FacilitatorHealth.objects.get()
    assert (found.failures, found.avoided_until is not None) == (3, True)
    run(health.worked("default"))
    assert FacilitatorHealth.objects.get().failures == 0


@pytest.fixture
def sent(db):
    wallet = Wallet.objects.create(network="eip155:84532", address="0x" + "1" * 40)
    return Transaction.objects.create(
        wallet=wallet,
        nonce=0,
        to="0x" + "2" * 40,
        data="0x",
        gas=21_000,
        max_fee=10,
        tip=1,
        hash="0xfirst",
    )


def again(transaction: Transaction) -> Transaction:
    return Transaction.objects.select_related("wallet").get(pk=transaction.pk)


def test_no_hash_of_a_transaction_is_lost(sent):
    """One worker replaces it, while another, who read it before, finds its first hash mined."""
    one, other = again(sent), again(sent)
    own_transactions._replace(one, Fees(20, 2), KEY)
    replacement = one.hash
    assert replacement != "0xfirst"
    receipt = TransactionReceipt("0xfirst", True, 7, "0xb", ())
    own_transactions._note_mined(other, receipt)
    row = again(sent)
    assert set(row.hashes) == {"0xfirst", replacement}
    assert (row.hash, row.state) == ("0xfirst", "mined")


def test_of_two_replacements_one_is_written(sent):
    one, other = again(sent), again(sent)
    own_transactions._replace(one, Fees(20, 2), KEY)
    own_transactions._replace(other, Fees(30, 3), KEY)
    row = again(sent)
    assert row.hash == one.hash == other.hash
    assert row.hashes == [one.hash, "0xfirst"]
    assert (other.max_fee, row.max_fee) == (20, 20)


def test_what_is_mined_is_not_replaced_or_dropped(sent):
    late = again(sent)
    own_transactions._note_mined(again(sent), TransactionReceipt("0xfirst", True, 7, "0xb", ()))
    own_transactions._replace(late, Fees(20, 2), KEY)
    own_transactions._drop(late)
    assert (again(sent).state, again(sent).hash, late.state) == ("mined", "0xfirst", "mined")


def test_a_cursor_moves_only_from_where_it_stands(db):
    now = timezone.now()
    row = Cursor.objects.create(
        network="n", asset="a", depth="1", block_number=5, block_hash="0x5", block_time=now
    )
    slow, quick = (Cursor.objects.get(pk=row.pk) for _ in range(2))
    cursors.advance(quick, Block(9, 0, "0x9"))
    with pytest.raises(StaleMove):
        cursors.advance(slow, Block(7, 0, "0x7"))
    assert (slow.block_number, Cursor.objects.get().block_number) == (5, 9)


def test_a_roll_up_keeps_its_lease_while_it_works(item, monkeypatch):
    for number in range(3):
        claim(item, str(number))
    seen: list[Any] = []
    real = rollups._add_up

    def slow(day: Any) -> None:
        real(day)
        seen.append(RollUp.objects.get().held_until)
        rest = rollups.LEASE - timedelta(seconds=1)
        RollUp.objects.filter(held_until__lt=timezone.now() + rest).update(
            held_until=timezone.now()
        )

    rollups.roll_up()
    monkeypatch.setattr(rollups, "_add_up", slow)
    assert rollups.roll_up() >= 2
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_a_worker_that_was_too_slow_writes_nothing_over_the_next_ones(item, monkeypatch, caplog):
    claim(item)
    rollups.roll_up()
    real = rollups._add_up
    taken = timezone.now() + timedelta(minutes=9)

    def overtaken(day: Any) -> None:
        real(day)
        RollUp.objects.update(held_until=taken)

    monkeypatch.setattr(rollups, "_add_up", overtaken)
    assert rollups.roll_up() == 0
    assert RollUp.objects.get().held_until == taken
    assert "too slow" in caplog.text


def test_a_refund_that_is_closed_during_a_long_round_is_seen_by_the_next(
    item, paywall_settings, monkeypatch
):
    paywall_settings(TREASURY_KEY="0x" + "11" * 32, RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    payment, _ = claim(item)
    ledger.settling([payment], 60, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.confirmed([([payment], BLOCK)])
    refund = refunds.request(payment, 10_000, "why", seen=0)
    Refund.objects.all().move("sent", reference="0x" + "7" * 64)
    long_ago = timezone.now() - timedelta(days=9)
    type(payment).objects.update(created_at=long_ago)
    rollups.rebuild()
    RollUp.objects.update(event=10**9, next_event=10**9)  # only refunds tell
    real = rollups._add_up

    def closes_meanwhile(day: Any) -> None:
        real(day)
        refund.refresh_from_db()
        if refund.state == "sent":
            refunds._confirmed(refund, "0x" + "7" * 64)

    monkeypatch.setattr(rollups, "_add_up", closes_meanwhile)
    rollups.roll_up()
    monkeypatch.setattr(rollups, "_add_up", real)
    # The round took long: longer than events and refunds are read again for.
    monkeypatch.setattr(rollups, "OVERLAP", timedelta(0))
    rollups.roll_up()
    assert SalesDay.objects.get().refunded_units == 1_000_000


# ------------------------------------------------------------------------------ LOG_RANGE


class Narrow:
    """A node that allows so many blocks at once, and has one log somewhere."""

    def __init__(self, allows: int, at: int) -> None:
        self.allows, self.at, self.asked = allows, at, 0

    def logs(self, address: str, topics: Any, first: int, last: int) -> Any:
        self.asked += 1
        if last - first + 1 > self.allows:
            raise Declined("eth_getLogs: block range is too wide")
        if not first <= self.at <= last:
            return []
        payer = topic("0x" + "1" * 40)
        return [evidence.Log("0x", (AUTHORIZATION_USED_TOPIC, payer, "0x"), "0x", "0xt", self.at)]
        yield

    def block(self, number: Any) -> Any:
        return Block(number, 10_000 + number, "0xb")
        yield


@pytest.mark.parametrize(("log_range", "allows"), [(1_000, 1_000), (2_000, 1_000), (2_000, 7)])
def test_one_payment_is_found_whatever_range_a_node_allows(log_range, allows):
    node = Narrow(allows, at=3_210)
    authorization = TransferAuthorization(
        "0x" + "1" * 40, "0x" + "2" * 40, 1, 0, 1, "0x" + "0" * 64
    )
    question = evidence.Question("0x", authorization, 0, 1, log_range=log_range)
    found = run(evidence._find_use(node, question, Block(5_000, 0, "0xh")))
    assert found is not None
    assert found.block_number == 3_210
    if log_range <= allows:
        assert node.asked == 2


def test_the_setting_is_what_is_asked_for(item, account, paywall_settings, monkeypatch):
    paywall_settings(LOG_RANGE=321, RPC_URLS={"eip155:84532": "http://127.0.0.1:9"})
    payment, _ = claim(item)
    asked: list[Any] = []

    class Scheme:
        def find(self, payload: Any, offer: Any, node: Any, depth: Any) -> Any:
            asked.append(depth)
            return Undecided("nothing")
            yield

    monkeypatch.setattr(finding.schemes, "named", lambda name: Scheme())
    clue = Clue(payment.created_at, terms=account.terms)
    run(finding.find(settling.charge(payment), clue))
    assert asked[0].log_range == 321
