"""Money that goes back, on a real chain."""

from __future__ import annotations

import threading

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from paywall import signals
from paywall.models import Payment, Refund, Transaction
from paywall.settlement import refunds, worker
from paywall.settlement.refunds import RefundRefused
from site_demo.chain.local import account
from tests.helpers import Died, at_once, dies

from .conftest import SELLER
from .helpers import pay

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bought(own_shop, chain, rich_buyer) -> Payment:
    """Ten cents of USDC, confirmed; the treasury is the seller's wallet."""
    assert pay(own_shop, rich_buyer.payload(own_shop.get("/item/"))).status_code == 200
    assert worker.confirm_payments() == {"confirmed": 1}
    return Payment.objects.get()


def soon() -> None:
    Refund.objects.update(due_at="2020-01-01T00:00Z", held_until="2020-01-01T00:00Z")


def settle_refunds() -> None:
    for _ in range(3):
        soon()
        worker.see_to_refunds()


def test_a_part_and_then_the_rest(bought, chain, rich):
    before = chain.balance(rich.address)
    told = []
    signals.payment_refunded.connect(lambda **kw: told.append(kw["refund"].amount), weak=False)
    refunds.request(bought, 4_000, "half was missing", seen=0)
    settle_refunds()
    assert chain.balance(rich.address) - before == 4_000
    refund = Refund.objects.get()
    assert (refund.state, refund.reference) == ("confirmed", Transaction.objects.first().hash)
    refunds.request(bought, 6_000, "and the rest", seen=4_000)
    settle_refunds()
    assert chain.balance(rich.address) - before == 10_000
    assert told == ["4000", "6000"]
    kinds = [event.kind for event in bought.events.all()]
    assert kinds[-4:] == ["refund requested", "refunded", "refund requested", "refunded"]
    with pytest.raises(RefundRefused, match="More would go back"):
        refunds.request(bought, 1, "more", seen=10_000)


@pytest.mark.parametrize(
    ("amount", "seen", "why"),
    [(10_001, 0, "More would"), (0, 0, "more than zero"), (-1, 0, "more than"), (1, 5, "else")],
)
def test_what_cannot_go_back(bought, amount, seen, why):
    with pytest.raises(RefundRefused, match=why):
        refunds.request(bought, amount, "?", seen=seen)
    assert not Refund.objects.exists()


def test_two_at_once_make_one_refund(bought, chain, rich):
    before = chain.balance(rich.address)
    barrier, refused = threading.Barrier(2), []

    def click() -> None:
        payment = Payment.objects.get()
        barrier.wait()
        try:
            refunds.request(payment, 10_000, "angry", seen=0)
        except RefundRefused as error:
            refused.append(str(error))
        connection.close()

    at_once([click] * 2)
    assert len(refused) == 1
    settle_refunds()
    assert Refund.objects.count() == 1
    assert chain.balance(rich.address) - before == 10_000


def test_two_workers_send_it_once(bought, chain, rich):
    before = chain.balance(rich.address)
    refunds.request(bought, 10_000, "slow", seen=0)

    def work() -> None:
        worker.see_to_refunds()
        connection.close()

    at_once([work] * 2)
    settle_refunds()
    assert chain.balance(rich.address) - before == 10_000
    assert Refund.objects.get().state == "confirmed"


def test_a_crash_between_writing_and_sending_sends_it_once(bought, chain, rich, monkeypatch):
    from paywall.rails.evm import own_transactions

    before = chain.balance(rich.address)
    refunds.request(bought, 10_000, "slow", seen=0)
    with monkeypatch.context() as patch:
        patch.setattr(own_transactions, "send", dies)
        with pytest.raises(Died):
            worker.see_to_refunds()
    assert Refund.objects.get().state == "sent"
    assert chain.balance(rich.address) == before
    settle_refunds()
    assert chain.balance(rich.address) - before == 10_000
    assert Refund.objects.get().state == "confirmed"


def test_an_empty_treasury_waits_and_can_be_called_off(bought, chain, rich, paywall_settings):
    paywall_settings(TREASURY_KEY=account(8).key.hex())  # has no USDC
    refund = refunds.request(bought, 10_000, "why not", seen=0)
    worker.see_to_refunds()
    refund.refresh_from_db()
    assert refund.state == "requested"
    assert "exceeds balance" in refund.error_detail
    refunds.call_off(refund)
    bought.refresh_from_db()
    assert bought.refunded == "0"
    with pytest.raises(RefundRefused):
        refunds.call_off(refund)


def test_the_owner_sent_it_and_names_the_transaction(bought, chain, rich, paywall_settings):
    paywall_settings(TREASURY_KEY="")
    with pytest.raises(RefundRefused, match="TREASURY_KEY"):
        refunds.request(bought, 10_000, "by hand", seen=0)
    good = chain.send("transfer(address,uint256)", rich.address, 10_000, sender=1)
    refunds.request(bought, 10_000, "by hand", seen=0, sent_in=good)
    settle_refunds()
    assert Refund.objects.get().state == "confirmed"
    assert not Transaction.objects.filter(wallet__address=SELLER).exists()


def test_a_named_transaction_that_paid_somebody_else_is_found_out(bought, chain, rich):
    wrong = chain.send("transfer(address,uint256)", account(7).address, 10_000, sender=1)
    refund = refunds.request(bought, 10_000, "by hand", seen=0, sent_in=wrong)
    settle_refunds()
    refund.refresh_from_db()
    assert refund.state == "failed"
    bought.refresh_from_db()
    assert bought.refunded == "0"


def test_one_transaction_refunds_once(bought, own_shop, chain, rich, rich_buyer):
    assert pay(own_shop, rich_buyer.payload(own_shop.get("/item/"))).status_code == 200
    worker.confirm_payments()
    first, second = Payment.objects.order_by("pk")
    sent = chain.send("transfer(address,uint256)", rich.address, 10_000, sender=1)
    refunds.request(first, 10_000, "by hand", seen=0, sent_in=sent)
    with pytest.raises(RefundRefused, match="another refund"):
        refunds.request(second, 10_000, "by hand", seen=0, sent_in=sent)
    second.refresh_from_db()
    assert second.refunded == "0"


def test_a_payment_that_is_not_final_is_not_refunded(own_shop, chain, rich_buyer):
    pay(own_shop, rich_buyer.payload(own_shop.get("/item/")))
    with pytest.raises(RefundRefused, match="confirmed"):
        refunds.request(Payment.objects.get(), 1, "?", seen=0)


# ------------------------------------------------------------------------------ The desk


@pytest.fixture
def desk(bought) -> Client:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    names = ["view_payment", "view_refund", "refund_payment"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def click(client: Client, payment: Payment, **fields: str):
    data = {"action": "refund", "_selected_action": payment.pk, **fields}
    return client.post("/admin/paywall/payment/", data, follow=True)


def test_the_desk_refunds(desk, bought, chain, rich):
    page = click(desk, bought).content.decode()
    assert "0.01 USDC" in page
    answer = click(desk, bought, reason="late", seen=f'{{"{bought.pk}": "0"}}', revoke_pass="on")
    assert "1 refund is on its way" in answer.content.decode()
    refund = Refund.objects.get()
    assert (refund.amount, refund.reason, refund.by.username) == ("10000", "late", "clerk")
    assert "Refund #" in LogEntry.objects.get().change_message
    again = click(desk, bought, reason="late", seen=f'{{"{bought.pk}": "0"}}')
    assert (
        "More would go back" in again.content.decode() or "Somebody else" in again.content.decode()
    )
    assert Refund.objects.count() == 1
    settle_refunds()
    assert "confirmed" in desk.get("/admin/paywall/refund/").content.decode()
    assert desk.get(f"/admin/paywall/payment/{bought.pk}/change/").status_code == 200


@pytest.mark.parametrize("amount", ["0", "0.0000001", "-1", "x"])
def test_the_desk_refuses_nonsense(desk, bought, amount):
    page = click(desk, bought, reason="?", seen=f'{{"{bought.pk}": "0"}}', amount=amount)
    assert "errorlist" in page.content.decode()
    assert not Refund.objects.exists()


def test_who_may_only_look_cannot_refund(desk, bought):
    User.objects.get().user_permissions.remove(Permission.objects.get(codename="refund_payment"))
    assert "Refund…" not in desk.get("/admin/paywall/payment/").content.decode()
    click(desk, bought, reason="late", seen=f'{{"{bought.pk}": "0"}}')
    assert not Refund.objects.exists()


def test_the_receipt_tells(bought, chain):
    from paywall.ledger import receipts

    refunds.request(bought, 4_000, "half", seen=0)
    settle_refunds()
    (told,) = receipts.document(receipts.find(bought.receipt.public_id))["refunds"]
    assert told["amount"] == "4000"
    assert told["state"] == "confirmed"


@pytest.mark.parametrize("revoke", [True, False])
def test_what_it_opened_closes_if_asked(own_shop, make_resource, chain, rich_buyer, revoke):
    make_resource("season", access="forever")
    path = "/by-object/season/"
    paid = own_shop.get(path, headers=rich_buyer.pays(own_shop.get(path)))
    assert paid.status_code == 200
    worker.confirm_payments()
    refunds.request(Payment.objects.get(), 10_000, "not as said", seen=0, revoke_pass=revoke)
    assert own_shop.get(path).status_code == (402 if revoke else 200)
