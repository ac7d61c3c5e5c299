"""Refunds, as far as they can be known without a chain: what a node says is scripted here.

`end_to_end/test_refunds.py` has the real one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from paywall import ledger
from paywall.catalog import offers
from paywall.effects import run
from paywall.ledger import receipts
from paywall.models import AccessPass, Alert, Payment, Refund, SalesDay, Transaction, Wallet
from paywall.rails.evm import nodes
from paywall.rails.evm.addresses import topic, word
from paywall.rails.evm.eip3009 import TRANSFER_TOPIC
from paywall.rails.evm.rpc import Block, Log, NodeError, TransactionReceipt
from paywall.reports import alerts, rollups
from paywall.settlement import refunds
from tests.conftest import PAY_TO
from tests.helpers import BLOCK, claim

pytestmark = pytest.mark.django_db

HASH = "0x" + "7" * 64
STRANGER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"


def mined(
    payment: Payment, *, sender: str = PAY_TO, value: int = 10_000, block: int = 50, ok: bool = True
) -> TransactionReceipt:
    """A transaction that moves so much of the token to a payment's payer."""
    log = Log(
        USDC.lower(),
        (TRANSFER_TOPIC, topic(sender), topic(payment.payer)),
        f"0x{word(value).hex()}",
        HASH,
        block,
        "0xb",
        0,
    )
    return TransactionReceipt(HASH, ok, block, "0xb", (log,))


class Node:
    """Says of the transaction what the test put there; each of `answers` is a node."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.urls = tuple(map(str, range(len(answers))))

    def each(self) -> list[Node]:
        return [Node(answer) for answer in self.answers]

    def receipt(self, hash_: str) -> Any:
        (answer,) = self.answers
        if isinstance(answer, Exception):
            raise answer
        return answer
        yield

    def block(self, tag: Any) -> Any:
        return Block(1_000, 0, "0xh")
        yield


@pytest.fixture
def says(monkeypatch, paywall_settings):
    paywall_settings(RPC_URLS={"eip155:84532": ["http://a.example", "http://b.example"]})

    def say(*answers: Any) -> None:
        monkeypatch.setattr(nodes, "of", lambda network: Node(*answers))

    say(None)
    return say


@pytest.fixture
def paid(make_resource) -> Payment:
    item = make_resource("forever", access="forever")
    payment, _ = claim(item)
    ledger.settling([payment], 60, "default")
    ledger.settled([payment], BLOCK.reference)
    ledger.delivered(payment)
    ledger.grant_pass(payment, offers.load("forever").pass_seconds, "h" * 64)
    ledger.confirmed([([payment], BLOCK)])
    return payment


def recorded(payment: Payment, amount: int = 10_000, **more: Any) -> Refund:
    """The owner says that it was sent in a transaction."""
    return refunds.request(payment, amount, "asked for", seen=0, sent_in=HASH, **more)


def looked_at(refund: Refund) -> Refund:
    run(refunds.see_to(refund))
    refund.refresh_from_db()
    return refund


def is_open(payment: Payment) -> bool:
    return AccessPass.objects.get(payment=payment).revoked_at is None


def test_what_the_chain_shows_counts(paid, says):
    refund = recorded(paid)
    says(mined(paid), None)
    assert looked_at(refund).state == "confirmed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": STRANGER},
        {"value": 9_999},
        {"block": BLOCK.position},
        {"block": (BLOCK.position or 0) - 1},
        {"ok": False},
    ],
    ids=["anybody's transfer", "another amount", "the payment's block", "older", "reverted"],
)
def test_what_is_no_refund_of_ours_does_not_count(paid, says, wrong):
    refund = recorded(paid, revoke_pass=True)
    assert not is_open(paid)
    says(mined(paid, **wrong), mined(paid, **wrong))
    assert looked_at(refund).state == "failed"
    # All as before: the amount is free, the pass is good, the hash can be recorded once more.
    paid.refresh_from_db()
    assert paid.refunded == "0"
    assert is_open(paid)
    assert recorded(paid, 9_999).state == "sent"


def test_a_wallet_that_is_named_counts(paid, says):
    refund = recorded(paid, sender=STRANGER.lower())
    says(mined(paid, sender=STRANGER))
    assert looked_at(refund).state == "confirmed"


def test_a_payer_whom_nobody_knows_gets_nothing_back(paid, says):
    Payment.objects.update(payer=None)
    paid.refresh_from_db()
    with pytest.raises(refunds.RefundRefused, match="not known"):
        recorded(paid)


def test_a_wallet_that_is_none_is_refused(paid, says):
    with pytest.raises(refunds.RefundRefused, match="40 hex digits"):
        recorded(paid, sender="me")


def test_one_node_that_lost_its_logs_fails_no_refund(paid, says):
    """Against a refund speaks a quorum, as against a payment."""
    refund = recorded(paid)
    empty = TransactionReceipt(HASH, True, 50, "0xb", ())
    for other in (None, NodeError("away")):
        says(empty, other)
        assert looked_at(refund).state == "sent"
    says(empty, mined(paid))
    assert looked_at(refund).state == "confirmed"


def test_a_mistyped_hash_can_be_closed_and_is_alarmed(paid, says, paywall_settings):
    paywall_settings(ALERT_EMAILS=["owner@example.com"])
    refund = recorded(paid, revoke_pass=True)
    with pytest.raises(refunds.RefundRefused, match="unclear is closed"):
        refunds.close(refund, "no")
    says(None, None)
    assert looked_at(refund).state == "sent"
    Refund.objects.update(created_at=timezone.now() - timedelta(hours=2))
    refund.refresh_from_db()
    assert looked_at(refund).state == "unclear"
    alerts.tell()
    assert "unclear" in Alert.objects.get(kind="refund").title
    # It is still looked for, seldom; and its amount stays held until somebody says so.
    assert refund.due_at > timezone.now() + timedelta(minutes=5)
    paid.refresh_from_db()
    assert refunds.remaining(paid) == 0
    with pytest.raises(refunds.RefundRefused, match="Say why"):
        refunds.close(refund, " ")
    refunds.close(refund, "I had mistyped the hash")
    refund.refresh_from_db()
    paid.refresh_from_db()
    assert (refund.state, refund.error_detail) == ("failed", "I had mistyped the hash")
    assert refunds.remaining(paid) == 10_000
    assert is_open(paid)


def test_what_was_unclear_and_is_found_is_confirmed(paid, says):
    refund = recorded(paid)
    Refund.objects.all().move("unclear")
    refund.refresh_from_db()
    says(mined(paid))
    assert looked_at(refund).state == "confirmed"


def test_a_transaction_of_ours_that_was_dropped_is_unclear(paid, says, paywall_settings):
    paywall_settings(TREASURY_KEY="0x" + "11" * 32)
    refund = refunds.request(paid, 10_000, "asked for", seen=0)
    wallet = Wallet.objects.create(network=paid.network, address=PAY_TO)
    sent = Transaction.objects.create(
        wallet=wallet, nonce=0, to=USDC, data="0x", gas=1, max_fee=1, tip=1, hash=HASH
    )
    sent.carries.create(identity=refund.identity)
    Refund.objects.all().move("sent", reference=HASH)
    Transaction.objects.update(state="dropped")
    refund.refresh_from_db()
    assert looked_at(refund).state == "unclear"
    assert "dropped" in refund.error_detail


def test_a_hash_is_recorded_once(paid, says, make_resource):
    recorded(paid, 4_000)
    with pytest.raises(refunds.RefundRefused, match="recorded for another"):
        refunds.request(paid, 4_000, "again", seen=4_000, sent_in=HASH)


def test_what_an_owner_says_is_no_refund_in_the_books(paid, says):
    """Only what the chain shows counts, in sums and exports; the receipt names its state."""
    from paywall.dashboard import exports

    refund = recorded(paid)
    rollups.rebuild()
    assert SalesDay.objects.get().refunded_units == 0
    (row,) = exports._receipt_rows("")
    assert row[10] == 0
    found = receipts.find(paid.receipt.public_id)
    assert found is not None
    assert receipts.document(found)["refunds"][0]["state"] == "sent"
    says(mined(paid))
    looked_at(refund)
    rollups.rebuild()
    assert SalesDay.objects.get().refunded_units == 1_000_000
    (row,) = exports._receipt_rows("")
    assert str(row[10]) == "0.01"


def test_staff_close_one_in_the_admin(paid, says):
    from django.contrib.admin.models import LogEntry
    from django.contrib.auth.models import User
    from django.test import Client

    refund = recorded(paid)
    Refund.objects.all().move("unclear", error_detail="no node has its transaction")
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))
    chosen = {"action": "close", "_selected_action": [refund.pk]}
    page = client.post("/admin/paywall/refund/", chosen)
    assert "no node has its transaction" in page.content.decode()
    refund.refresh_from_db()
    assert refund.state == "unclear"
    client.post("/admin/paywall/refund/", {**chosen, "reason": "I had mistyped it"})
    refund.refresh_from_db()
    assert (refund.state, refund.error_detail) == ("failed", "I had mistyped it")
    assert LogEntry.objects.filter(change_message="Closed: I had mistyped it").exists()
    again = client.post("/admin/paywall/refund/", {**chosen, "reason": "again"}, follow=True)
    assert "Only a refund that is unclear is closed by hand" in again.content.decode()
