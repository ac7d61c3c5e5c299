"""What becomes of a payment is decided by the chain: a real node, the official facilitator."""

from __future__ import annotations

import pytest
from django.test import Client
from eth_account import Account as Key

from paywall.models import Payment, Receipt
from paywall.models.payments import State
from paywall.settlement import worker
from paywall.testing import Buyer, outcome_of
from site_demo.chain import local
from site_demo.chain.local import CHAIN_ID, LocalChain
from tests.doubles import TX, Answer, success
from tests.helpers import code, let_lapse, proof, set_terms

from .conftest import ROOT, SELLER
from .helpers import cancel, pay, settles_and_dies, spoiled, submit

pytestmark = pytest.mark.django_db(transaction=True)


# ----------------------------------------------------------------------------- Confirming


def test_a_payment_is_confirmed_by_its_logs(shop, chain, rich_buyer):
    before = chain.balance(SELLER)
    response = pay(shop, rich_buyer.payload(shop.get("/item/")))
    assert response.status_code == 200
    assert chain.balance(SELLER) - before == 10_000
    assert worker.confirm_payments() == {"confirmed": 1}
    payment = Payment.objects.get()
    assert payment.state == State.CONFIRMED
    assert payment.reference == outcome_of(response)["transaction"]
    block = chain.rpc("eth_getBlockByNumber", hex(payment.position), False)
    assert block["hash"] == payment.evidence["block_hash"]
    assert Receipt.objects.get().number == 1
    assert worker.confirm_payments() == {}


def test_it_must_be_deep_enough(shop, chain, rich_buyer):
    set_terms(confirmations=3)
    pay(shop, rich_buyer.payload(shop.get("/item/")))
    for expected in ("waiting", "waiting", "confirmed"):
        let_lapse()
        assert worker.confirm_payments() == {expected: 1}
        chain.mine()


def test_a_node_of_another_chain_decides_nothing(shop, chain, rich_buyer, paywall_settings):
    pay(shop, rich_buyer.payload(shop.get("/item/")))
    chain.rpc("anvil_setChainId", 1)
    try:
        assert worker.confirm_payments() == {"waiting": 1}
    finally:
        chain.rpc("anvil_setChainId", CHAIN_ID)
    let_lapse()
    assert worker.confirm_payments() == {"confirmed": 1}


# --------------------------------------------------------------------- Unknown, resolved


def test_settled_and_died_is_found_while_the_buyer_waits(
    shop, chain, rich_buyer, facilitator, facilitator_url, paywall_settings
):
    paywall_settings(FACILITATOR_URL=facilitator.url)
    facilitator.settle = settles_and_dies(facilitator_url)
    response = pay(shop, rich_buyer.payload(shop.get("/item/")))
    assert response.status_code == 200
    payment = Payment.objects.get()
    assert payment.state == State.SETTLED
    assert [what for _, what, _ in payment.story] == [
        "claimed",
        "settling",
        "unknown",
        "settled",
        "delivered",
    ]
    assert worker.confirm_payments() == {"confirmed": 1}


def test_an_answer_that_never_came_is_asked_for_again_when_the_buyer_returns(
    shop, chain, rich_buyer, facilitator, facilitator_url, paywall_settings
):
    paywall_settings(FACILITATOR_URL=facilitator.url)
    facilitator.settle = Answer(die=True)
    payload = rich_buyer.payload(shop.get("/item/"))
    assert code(pay(shop, payload)) == "settlement_pending"
    # The engine does not charge a buyer who may be gone: it only looks.
    let_lapse()
    assert worker.sweep() == {"unknown": 1}
    assert len(facilitator.asked("/settle")) == 1
    paywall_settings(FACILITATOR_URL=facilitator_url)
    let_lapse()
    assert pay(shop, payload).status_code == 200
    assert chain.balance(SELLER) > 0
    assert Payment.objects.count() == 1


def test_the_engine_finds_what_was_settled_and_the_buyer_collects(
    shop, chain, rich_buyer, facilitator, paywall_settings
):
    paywall_settings(FACILITATOR_URL=facilitator.url)
    facilitator.settle = Answer(die=True)
    payload = rich_buyer.payload(shop.get("/item/"))
    pay(shop, payload)
    transaction = submit(chain, payload)
    let_lapse()
    assert worker.sweep() == {"settled": 1}
    let_lapse()
    assert worker.confirm_payments() == {"confirmed": 1}
    assert Payment.objects.get().reference == transaction
    response = pay(shop, payload)
    assert response.status_code == 200
    assert code(pay(shop, payload)) == "payment_already_used"


def test_a_front_run_buyer_is_served(shop, chain, rich_buyer):
    """Somebody else submitted it first: the money is here, whatever the facilitator says."""
    payload = rich_buyer.payload(shop.get("/item/"))
    transaction = submit(chain, payload)
    response = pay(shop, payload)
    assert response.status_code == 200
    assert outcome_of(response)["transaction"] == transaction


def test_a_cancelled_authorization_buys_nothing(shop, chain, rich_buyer):
    payload = rich_buyer.payload(shop.get("/item/"))
    cancel(chain, rich_buyer, payload)
    response = pay(shop, payload)
    assert (response.status_code, code(response)) == (402, "settlement_refused")
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, "authorization_spent_elsewhere")


@pytest.mark.parametrize("trouble", ["poor", "paused", "blacklisted"])
def test_a_transfer_that_reverts_is_a_refusal(shop, chain, trouble):
    with spoiled(chain, trouble) as buyer:
        response = pay(shop, buyer.payload(shop.get("/item/")))
    assert (response.status_code, code(response)) == (402, "settlement_refused")
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.FAILED, "transaction_reverted")


# -------------------------------------------------------------- A chain whose clock we move


@pytest.fixture
def own_chain(paywall_settings, facilitator):
    """A node whose clock a test may move, and a facilitator that lies."""
    with LocalChain() as chain:
        chain.mine()
        paywall_settings(
            FACILITATOR_URL=facilitator.url, RPC_URLS={f"eip155:{CHAIN_ID}": chain.url}
        )
        yield chain


def test_a_block_that_vanished_takes_no_payment_with_it(item, own_chain, facilitator):
    """The transaction is put back on the chain in another block, and found there."""
    client, buyer = Client(), Buyer()
    own_chain.mint(buyer.account.address, 10_000)
    payload = buyer.payload(client.get("/item/"))
    facilitator.settle = success(lambda: submit(own_chain, payload))
    assert pay(client, payload).status_code == 200
    own_chain.rpc("anvil_reorg", 1, [])
    assert worker.confirm_payments() == {"waiting": 1}
    transaction = submit(own_chain, payload)
    let_lapse()
    assert worker.confirm_payments() == {"confirmed": 1}
    assert Payment.objects.get().reference == transaction


def test_a_facilitator_that_lies_is_found_out(item, own_chain, facilitator, make_resource):
    make_resource("season", access="forever")
    client, buyer = Client(), Buyer()
    challenge = client.get("/by-object/season/")
    response = client.get("/by-object/season/", headers=buyer.pays(challenge))
    assert response.status_code == 200
    assert client.get("/by-object/season/").status_code == 200

    assert worker.confirm_payments() == {"waiting": 1}  # it might still be on its way
    own_chain.advance(600)
    let_lapse()
    assert worker.confirm_payments() == {"lost": 1}

    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.LOST, "nothing_moved")
    assert payment.reference == TX
    assert client.get("/by-object/season/").status_code == 402  # the pass is gone
    assert payment in Payment.objects.needing_attention()


def test_another_payments_transaction_is_no_proof(item, own_chain, facilitator):
    """The facilitator names a transaction that moved somebody else's money to us."""
    other = Buyer()
    own_chain.mint(other.account.address, 10_000)
    client = Client()
    transaction = submit(own_chain, other.payload(client.get("/item/")))
    facilitator.settle = success(transaction)
    assert pay(client, Buyer().payload(client.get("/item/"))).status_code == 200
    own_chain.advance(600)
    let_lapse()
    assert worker.confirm_payments() == {"lost": 1}


def test_what_expired_unused_is_failed_by_the_chains_clock(item, own_chain, facilitator):
    facilitator.settle = Answer(die=True)
    client, buyer = Client(), Buyer()
    payload = buyer.payload(client.get("/item/"))
    assert code(pay(client, payload)) == "settlement_pending"
    let_lapse()
    assert worker.sweep() == {"unknown": 1}
    set_terms(confirmations=3)
    own_chain.advance(600)
    let_lapse()
    assert worker.sweep() == {"unknown": 1}  # past, but not deep enough to stay so
    own_chain.mine(2)
    let_lapse()
    assert worker.sweep() == {"failed": 1}
    assert Payment.objects.get().error_code == "never_settled"
    assert code(pay(client, payload)) == "payment_failed"


def test_an_old_use_is_found_far_back(item, own_chain, facilitator, paywall_settings):
    paywall_settings(LOG_RANGE=20)
    facilitator.settle = Answer(die=True)
    client, buyer = Client(), Buyer()
    own_chain.mint(buyer.account.address, 10_000)
    payload = buyer.payload(client.get("/item/"))
    pay(client, payload)
    transaction = submit(own_chain, payload)
    own_chain.mine(90)
    let_lapse()
    assert worker.sweep() == {"settled": 1}
    assert Payment.objects.get().reference == transaction


# ------------------------------------------------------------------------ Contract wallets

WALLET = "0x00000000000000000000000000000000C0FFEE00"


@pytest.fixture
def wallet(chain):
    return deploy_wallet(chain)


def deploy_wallet(chain: LocalChain) -> tuple[str, Buyer]:
    """A contract wallet with money, and its owner's key."""
    owner = Key.create()
    code = local.compiled(ROOT / "tests/end_to_end/contracts/TestWallet.sol")["TestWallet"]
    address = Key.create().address
    chain.put(address, code)
    chain.send("init(address)", owner.address, to=address)
    chain.mint(address, 1_000_000)
    return address, Buyer(owner)


@pytest.mark.parametrize("padding", ["", "00" * 32])
def test_a_contract_wallet_pays(shop, chain, wallet, padding):
    """With 65 bytes its signature looks like a plain key's; longer, it says what it is."""
    address, owner = wallet
    payload = owner.payload(shop.get("/item/"), **{"from": address})
    payload["payload"]["signature"] += padding
    before = chain.balance(SELLER)
    response = pay(shop, payload)
    assert response.status_code == 200, response.content
    assert chain.balance(SELLER) - before == 10_000
    payment = Payment.objects.get()
    assert payment.payer == address
    assert worker.confirm_payments() == {"confirmed": 1}
    assert code(pay(shop, payload)) == "payment_already_used"


def test_a_contract_wallet_comes_back_by_signing_in(shop, item, wallet):
    """It has no key: its contract is asked (ERC-1271)."""
    item.access = "forever"
    item.save()
    address, owner = wallet
    payload = owner.payload(shop.get("/item/"), **{"from": address})
    assert pay(shop, payload).status_code == 200
    other, its_owner = Client(), owner.account
    for signer, status in ((Key.create(), 402), (its_owner, 200)):
        header = proof(signer, address=address)
        answer = other.get("/item/", headers={"Sign-In-With-X": header})
        assert answer.status_code == status


def test_a_contract_wallet_with_the_wrong_key_is_refused(shop, wallet):
    address, _ = wallet
    payload = Buyer().payload(shop.get("/item/"), **{"from": address})
    response = pay(shop, payload)
    assert (response.status_code, code(response)) == (402, "verification_failed")
    assert not Payment.objects.exists()


def test_a_contract_wallet_collects_after_an_unknown_outcome(
    shop, wallet, facilitator, facilitator_url, paywall_settings
):
    """Its signature cannot be verified once the nonce is used; it need not be again."""
    address, owner = wallet
    payload = owner.payload(shop.get("/item/"), **{"from": address})
    paywall_settings(FACILITATOR_URL=facilitator.url)
    facilitator.verify = Answer(body={"isValid": True})
    facilitator.settle = Answer(die=True)
    assert code(pay(shop, payload)) == "settlement_pending"
    paywall_settings(FACILITATOR_URL=facilitator_url)
    let_lapse()
    assert pay(shop, payload).status_code == 200


# ------------------------------------------------------------------------------- On credit


def test_the_ticker_is_served_first_and_settled_later(make_site, chain, rich):
    from .test_clients import official_python, payments

    site = make_site().start()
    before = chain.balance(SELLER)
    response = official_python("GET", f"{site.url}/api/ticker/", rich)
    assert response.status_code == 200
    assert outcome_of(response)["extra"] == {"settlement": "pending"}
    assert chain.balance(SELLER) == before
    assert site.manage("paywall_run", "--once").split("\n")[:2] == [
        "settle: 1 settled",
        "confirm: 1 confirmed",
    ]
    assert chain.balance(SELLER) - before == 1_000
    assert payments(site)[0]["state"] == "confirmed"


def test_what_was_had_on_credit_is_asked_for_again(
    shop, item, chain, rich_buyer, facilitator, facilitator_url, paywall_settings
):
    """The chain has not seen it, and the buyer is gone with the content: the engine asks again."""
    item.policy = "background"
    item.save()
    paywall_settings(FACILITATOR_URL=facilitator.url)
    facilitator.settle = Answer(die=True)
    assert pay(shop, rich_buyer.payload(shop.get("/item/"))).status_code == 200
    let_lapse()
    assert worker.settle() == {"settling": 1}
    paywall_settings(FACILITATOR_URL=facilitator_url)
    let_lapse()
    assert worker.sweep() == {"settled": 1}
    let_lapse()
    assert worker.confirm_payments() == {"confirmed": 1}


def test_who_has_no_money_has_no_credit(shop, item, chain, rich_buyer, paywall_settings):
    """The balance is looked up; without one, the payment is settled in line, and refused."""
    paywall_settings(BALANCE_CHECK=True)
    item.policy = "background"
    item.save()
    poor = Buyer()
    assert pay(shop, poor.payload(shop.get("/item/"))).status_code == 402
    assert pay(shop, rich_buyer.payload(shop.get("/item/"))).status_code == 200
    assert list(Payment.objects.order_by("pk").values_list("on_credit", flat=True)) == [
        False,
        True,
    ]
