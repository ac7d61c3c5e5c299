"""Orders paid by plain transfers on a real node: exact, short, late, doubled, of another token."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from eth_account import Account as Key

from paywall.catalog import offers
from paywall.checkout import tickets
from paywall.models import Account, Alert, Order, Payment
from paywall.models.payments import State
from paywall.rails.evm import orders
from paywall.rails.evm.terms import account_for
from paywall.reports import alerts
from paywall.settlement import refunds, worker
from site_demo.chain import local
from site_demo.chain.local import CHAIN_ID, USDC, compiled
from tests.helpers import let_lapse

from .helpers import pay

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_TOKEN = "0x00000000000000000000000000000000000E0001"
URL = "http://testserver/item/"
OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "application/json"}


@pytest.fixture
def account(db: None) -> Account:
    """Nobody else's money comes here."""
    made = account_for("usdc-base-sepolia", Key.create().address)
    made.save()
    return made


@pytest.fixture
def article(item: Any, shop: Client) -> Any:
    item.access = "forever"
    item.save()
    return item


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "BEHIND", timedelta(seconds=-5))
    monkeypatch.setattr(orders, "AGAIN_AFTER", timedelta(0))


def order(client: Client, slug: str = "item") -> Order:
    ticket = tickets.sign(offers.load(slug), URL)
    told = client.post("/paywall/pay/transfer/", {"ticket": ticket}, headers=OURS)
    assert told.status_code == 200, told.content
    return Order.objects.get(public_id=told.json()["order"])


def send(chain: Any, made: Order, units: int | None = None, token: str = USDC) -> str:
    """From an app that knows nothing of us."""
    to, units = made.taken_offer.terms["payTo"], units or made.taken_offer.amount
    chain.send("mint(address,uint256)", local.account(6).address, units, to=token)
    return chain.send("transfer(address,uint256)", to, units, to=token, sender=6)


def states() -> list[str]:
    return list(Payment.objects.order_by("pk").values_list("state", flat=True))


def test_it_opens_the_page_and_is_confirmed(article, chain):
    buyer = Client()
    made = order(buyer)
    assert 10_000 < made.taken_offer.amount < 20_000
    transaction = send(chain, made)
    worker.confirm_payments()
    payment = Payment.objects.get()
    assert (payment.state, payment.reference) == (State.CONFIRMED, transaction)
    assert payment.payer == local.account(6).address
    assert payment.atomic_amount == made.taken_offer.amount
    assert buyer.get("/item/").status_code == 200
    assert Client().get("/item/").status_code == 402
    assert worker.confirm_payments() == {}


def test_the_same_order_is_shown_again(article):
    buyer = Client()
    assert order(buyer) == order(buyer)
    assert order(Client()) != order(buyer)


def test_amounts_are_told_apart(article):
    made = [order(Client()) for _ in range(12)]
    assert len({one.taken_offer.amount for one in made}) == 12


def test_when_no_digits_are_left_it_says_so(article, monkeypatch):
    monkeypatch.setattr(orders, "MOST_EXTRA", 1)
    order(Client())
    ticket = tickets.sign(offers.load("item"), URL)
    told = Client().post("/paywall/pay/transfer/", {"ticket": ticket}, headers=OURS)
    assert told.status_code == 429
    Order.objects.filter(state="open").move("expired")
    Order.objects.update(expires_at=timezone.now() - orders.KEPT_FOR - timedelta(seconds=1))
    order(Client())


def test_late_money_is_taken(article, chain):
    buyer = Client()
    made = order(buyer)
    Order.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    worker.sweep()
    send(chain, made)
    worker.confirm_payments()
    assert Order.objects.get().state == "late"
    assert buyer.get("/item/").status_code == 200


def test_too_little_is_given_to_the_only_order_and_can_be_refunded(
    article, chain, paywall_settings, shop
):
    buyer = Client()
    made = order(buyer)
    send(chain, made, 4_000)
    worker.confirm_payments()
    found = Order.objects.get()
    assert found.state == "open"
    (misfit,) = found.misfits.all()
    assert f"payment #{misfit.pk} does not fit: it is not of the amount" in found.trouble
    assert buyer.get("/item/").status_code == 402
    told = buyer.get(f"/paywall/orders/{made.public_id}/", headers=OURS).json()
    assert "0.004 USDC arrived" in told["html"]
    assert misfit.state == State.CONFIRMED
    before = chain.balance(local.account(6).address)
    chain.mint(local.account(1).address, 4_000)
    paywall_settings(TREASURY_KEY=local.account(1).key.hex())
    refunds.request(misfit, 4_000, "short", seen=0)
    worker.see_to_refunds()
    assert chain.balance(local.account(6).address) - before == 4_000


def test_other_money_opens_nothing_while_an_order_is_open(article, chain):
    """It may be anybody's: a stranger's order would wait for it."""
    buyer = Client()
    made = order(buyer)
    send(chain, made, 500_000)
    worker.confirm_payments()
    assert buyer.get("/item/").status_code == 402
    assert Order.objects.get().misfits.get().atomic_amount == 500_000


def test_of_two_orders_nobody_guesses(article, chain):
    first, second = Client(), Client()
    made = order(first)
    order(second)
    transaction = send(chain, made, 500_000)
    worker.confirm_payments()
    assert states() == []
    told = first.post(
        f"/paywall/orders/{made.public_id}/", {"payment": transaction}, headers=OURS
    ).json()
    assert told["told"] == "It was found, and is written down."
    # Anybody can read a transaction's name, so it opens nothing; but now it is a row.
    assert first.get("/item/").status_code == 402
    assert "not of the amount" in Order.objects.get(pk=made.pk).trouble


def test_twice_is_a_row(article, chain, admin_client, paywall_settings):
    made = order(Client())
    send(chain, made)
    worker.confirm_payments()
    send(chain, made)
    worker.confirm_payments()
    assert states() == [State.CONFIRMED, State.CONFIRMED]
    assert "once more" in Order.objects.get().trouble
    paywall_settings(ALERT_EMAILS=["owner@example.com"])
    for _ in range(2):
        alerts.tell()
    alert = Alert.objects.get(kind="misfit")
    assert alert.payment == Payment.objects.latest("pk")
    page = admin_client.get(f"/admin/paywall/order/{made.pk}/change/").content.decode()
    assert f"/admin/paywall/payment/{alert.payment_id}/change/" in page


def test_another_token_is_a_row_and_opens_nothing(article, chain, account_of_other_token):
    buyer = Client()
    made = order(buyer)
    send(chain, made, token=OTHER_TOKEN)
    worker.confirm_payments()
    payment = Payment.objects.get()
    assert payment.taken_offer.terms["asset"] == OTHER_TOKEN
    assert (payment.price, payment.state) == (Decimal(0), State.CONFIRMED)
    assert "it came in" in Order.objects.get().trouble
    assert buyer.get("/item/").status_code == 402


@pytest.fixture
def account_of_other_token(chain: Any) -> None:
    """A token that the site takes elsewhere, so that it is looked for."""
    chain.put(OTHER_TOKEN, compiled()["TestUSDC"])
    Account.objects.create(
        rail="evm",
        network=f"eip155:{CHAIN_ID}",
        symbol="EURC",
        currency="EUR",
        terms={
            "asset": OTHER_TOKEN,
            "pay_to": local.account(3).address,
            "eip712_name": "EURC",
            "eip712_version": "2",
            "confirmations": 1,
        },
    )


def test_a_programs_payment_is_nobodys_order(article, chain, shop, rich_buyer):
    """Of the very price, while an order is open."""
    order(Client())
    assert pay(shop, rich_buyer.payload(shop.get("/item/"))).status_code == 200
    worker.confirm_payments()
    assert states() == [State.CONFIRMED]
    assert Order.objects.get().trouble == ""


def test_money_from_before_the_order_is_not_its(article, chain):
    made = order(Client())
    Order.objects.update(created_at=timezone.now() + timedelta(hours=1))
    send(chain, made)
    worker.confirm_payments()
    assert states() == []


@pytest.mark.parametrize("named", ["junk", "0x" + "00" * 32, "0x" + "zz" * 32, ""])
def test_what_is_no_payment_is_told_so(article, named):
    buyer = Client()
    made = order(buyer)
    told = buyer.post(f"/paywall/orders/{made.public_id}/", {"payment": named}, headers=OURS)
    assert told.json()["told"]
    assert states() == []


def test_what_another_order_was_paid_with_cannot_be_named(article, chain):
    first, second = Client(), Client()
    one, two = order(first), order(second)
    transaction = send(chain, one)
    told = second.post(
        f"/paywall/orders/{two.public_id}/", {"payment": transaction}, headers=OURS
    ).json()
    assert told["told"].startswith("This transaction is known already")
    worker.confirm_payments()
    assert first.get("/item/").status_code == 200
    assert second.get("/item/").status_code == 402


def test_the_owner_sees_an_order_only_of_this_browser(article):
    made = order(Client())
    assert Client().get(f"/paywall/orders/{made.public_id}/").status_code == 404


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_origins_page_presses_no_button(article, site):
    ticket = tickets.sign(offers.load("item"), URL)
    told = Client().post(
        "/paywall/pay/transfer/", {"ticket": ticket}, headers={"Sec-Fetch-Site": site}
    )
    assert told.status_code == 403
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://testserver", 200), ("https://testserver", 403), ("null", 403), (None, 403)],
)
def test_a_browser_without_fetch_metadata_says_its_origin(article, origin, status):
    ticket = tickets.sign(offers.load("item"), URL)
    headers = {"Accept": "application/json"} | ({"Origin": origin} if origin else {})
    told = Client().post("/paywall/pay/transfer/", {"ticket": ticket}, headers=headers)
    assert told.status_code == status


def test_a_forged_ticket_buys_nothing(article):
    ticket = tickets.sign(offers.load("item"), URL)
    told = Client().post("/paywall/pay/transfer/", {"ticket": ticket[:-1] + "x"}, headers=OURS)
    assert told.status_code == 400
    assert not Order.objects.exists()


def test_a_reorganisation_that_takes_the_transfer_back(private_chain, item):
    item.access = "forever"
    item.save()
    buyer = Client()
    made = order(buyer)
    send(private_chain, made)
    orders.watch()
    assert states() == [State.SETTLED]
    private_chain.rpc("anvil_reorg", 3, [])
    private_chain.mine(2)
    Payment.objects.update(settled_at=timezone.now() - timedelta(minutes=1))
    let_lapse()
    worker.confirm_payments()
    assert states() == [State.SETTLING]
    Payment.objects.update(created_at=timezone.now() - timedelta(days=2))
    let_lapse()
    worker.sweep()
    (state,) = states()
    assert state in (State.LOST, State.FAILED)
    assert buyer.get("/item/").status_code == 402
