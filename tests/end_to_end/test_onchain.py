"""The site as its own facilitator: real transactions of its own wallet, batches, stuck ones."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from eth_abi.abi import encode as encode_abi
from eth_account import Account as Key
from eth_utils.crypto import keccak

from paywall.models import Payment, Transaction, Wallet
from paywall.models.payments import State
from paywall.rails.evm.addresses import checksum
from paywall.rails.evm.transactions import MULTICALL3
from paywall.settlement import worker
from paywall.testing import Buyer, encode, outcome_of
from site_demo.chain import local
from site_demo.chain.local import CHAIN_ID, LocalChain, account
from tests.helpers import at_once, code, let_lapse, set_terms

from .conftest import ROOT, SELLER
from .helpers import cancel, pay, spoiled, submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def on_credit(item, paywall_settings):
    """The item is sold by `background`, with wide limits."""
    item.policy = "background"
    item.save()
    paywall_settings(
        EXPOSURE_PER_PAYER="1000",
        EXPOSURE_TOTAL="1000",
        EXPOSURE_PER_MINUTE=10_000,
        BALANCE_CHECK=False,
    )
    return item


def states() -> list[str]:
    return list(Payment.objects.order_by("pk").values_list("state", flat=True))


def buy(shop: Client, buyer: Buyer, times: int = 1) -> None:
    challenge = shop.get("/item/")
    for _ in range(times):
        assert pay(shop, buyer.payload(challenge)).status_code == 200


def test_a_payment_is_settled_without_any_third_party(own_shop, chain, rich_buyer):
    before = chain.balance(SELLER)
    response = pay(own_shop, rich_buyer.payload(own_shop.get("/item/")))
    assert response.status_code == 200
    assert chain.balance(SELLER) - before == 10_000
    transaction = Transaction.objects.get()
    assert transaction.hash == outcome_of(response)["transaction"]
    assert (transaction.state, transaction.succeeded) == ("mined", True)
    assert transaction.wallet.address == account(0).address
    assert worker.confirm_payments() == {"confirmed": 1}


@pytest.mark.parametrize("trouble", ["poor", "paused", "blacklisted"])
def test_what_a_simulation_refuses_is_not_sent(own_shop, chain, trouble):
    with spoiled(chain, trouble) as buyer:
        response = pay(own_shop, buyer.payload(own_shop.get("/item/")))
    assert (response.status_code, code(response)) == (402, "settlement_refused")
    assert states() == [State.FAILED]
    assert not Transaction.objects.exists()


def test_a_front_run_buyer_is_served(own_shop, chain, rich_buyer):
    payload = rich_buyer.payload(own_shop.get("/item/"))
    transaction = submit(chain, payload)
    response = pay(own_shop, payload)
    assert response.status_code == 200
    assert outcome_of(response)["transaction"] == transaction
    assert worker.confirm_payments() == {"confirmed": 1}


def test_many_go_in_one_transaction(own_shop, on_credit, chain, rich_buyer):
    before = chain.balance(SELLER)
    buy(own_shop, rich_buyer, 30)
    assert worker.settle() == {"settled": 30}
    assert chain.balance(SELLER) - before == 300_000
    transaction = Transaction.objects.get()
    assert transaction.to == MULTICALL3
    assert set(Payment.objects.values_list("reference", flat=True)) == {transaction.hash}
    assert worker.confirm_payments() == {"confirmed": 30}


def test_a_poisoned_payment_sinks_no_neighbour(own_shop, on_credit, chain, rich_buyer):
    """One is cancelled, one has no money, one was submitted by somebody else."""
    buy(own_shop, rich_buyer, 3)
    challenge = own_shop.get("/item/")
    assert pay(own_shop, Buyer().payload(challenge)).status_code == 200
    cancelled, stolen = (rich_buyer.payload(challenge) for _ in range(2))
    for payload in (cancelled, stolen):
        assert pay(own_shop, payload).status_code == 200
    cancel(chain, rich_buyer, cancelled)
    submit(chain, stolen)
    assert worker.settle() == {"settled": 4, "failed": 2}
    assert states() == ["settled"] * 3 + ["failed", "failed", "settled"]
    assert worker.confirm_payments() == {"confirmed": 4}


def test_what_fails_inside_a_batch_alone_is_found_out(
    own_shop, on_credit, chain, rich_buyer, monkeypatch
):
    """The payer's money is gone between the simulation and the block."""
    payer = Key.create()
    chain.mint(payer.address, 10_000)
    chain.rpc("anvil_setBalance", payer.address, hex(10**18))
    buy(own_shop, rich_buyer, 2)
    buy(own_shop, Buyer(payer))

    from paywall.rails.evm import own_transactions

    real = own_transactions.send

    def drain_first(transaction):
        monkeypatch.setattr(own_transactions, "send", real)
        chain.rpc("anvil_impersonateAccount", payer.address)
        chain.send_from(payer.address, "transfer(address,uint256)", account(7).address, 10_000)
        yield from real(transaction)

    monkeypatch.setattr(own_transactions, "send", drain_first)
    assert worker.settle() == {"settled": 2}
    assert states() == ["settled", "settled", "settling"]
    # It is asked for again while it is valid, since the content is out; here, without success.
    let_lapse()
    assert worker.sweep() == {"unknown": 1}
    chain.mint(payer.address, 10_000)
    let_lapse()
    assert worker.sweep() == {"settled": 1}


def test_workers_share_a_wallet(own_shop, on_credit, chain, rich_buyer):
    """Each nonce is used once, by whichever of several workers."""
    buy(own_shop, rich_buyer, 24)
    before = chain.balance(SELLER)
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait()
        worker.settle()
        connection.close()

    at_once([work] * 3)
    worker.land()
    assert states() == ["settled"] * 24
    assert chain.balance(SELLER) - before == 240_000
    nonces = list(Transaction.objects.order_by("nonce").values_list("nonce", flat=True))
    assert nonces == sorted(set(nonces))


def test_sixteen_buyers_at_once_in_line(own_shop, item, chain, rich_buyer):
    """Policy `after`: nobody waits for the transaction of another."""
    challenge = own_shop.get("/item/")
    payloads = [rich_buyer.payload(challenge) for _ in range(16)]
    answers = []

    def one(payload) -> None:
        answers.append(pay(Client(), payload).status_code)
        connection.close()

    at_once([partial(one, payload) for payload in payloads])
    assert answers == [200] * 16
    assert Wallet.objects.count() == 1


# ------------------------------------------------------------------------- A slow chain


@pytest.fixture
def slow_chain(own_shop, paywall_settings):
    """A node that mines when it is told to."""
    with LocalChain() as chain:
        paywall_settings(RPC_URLS={f"eip155:{CHAIN_ID}": chain.url}, FACILITATOR_READ_TIMEOUT=0.5)
        chain.mint(account(5).address, 1000 * local.USDC_UNIT)
        chain.rpc("evm_setAutomine", False)
        yield chain


def test_a_block_that_is_late_costs_nobody_anything(own_shop, slow_chain, rich_buyer):
    payload = rich_buyer.payload(own_shop.get("/item/"))
    response = pay(own_shop, payload)
    assert (response.status_code, code(response)) == (503, "settlement_pending")
    let_lapse()
    assert code(pay(own_shop, payload)) == "settlement_pending"
    assert Transaction.objects.count() == 1
    slow_chain.mine()
    let_lapse()
    assert pay(own_shop, payload).status_code == 200
    assert Transaction.objects.count() == 1
    assert worker.confirm_payments() == {"confirmed": 1}


def test_a_stuck_transaction_is_replaced(own_shop, on_credit, slow_chain, rich_buyer):
    """No block takes it while the fees have risen: the same nonce, signed for more."""
    buy(own_shop, rich_buyer, 3)
    assert worker.settle() == {}
    first = Transaction.objects.get()
    slow_chain.rpc("anvil_dropTransaction", first.hash)  # as nodes do with what pays too little
    slow_chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(first.max_fee + 10**9))
    slow_chain.mine()
    assert worker.settle() == {}
    Transaction.objects.update(signed_at=timezone.now() - timezone.timedelta(minutes=1))
    assert worker.settle() == {}
    second = Transaction.objects.get()
    assert second.nonce == first.nonce
    assert second.hash != first.hash
    assert second.earlier_hashes == [first.hash]
    assert second.max_fee > first.max_fee
    slow_chain.mine()
    assert worker.settle() == {"settled": 3}


def test_what_was_written_and_not_sent_is_sent_later(
    own_shop, on_credit, chain, rich_buyer, monkeypatch
):
    """The worker dies between writing and sending; another one sends the same bytes."""
    from paywall.rails.evm import own_transactions
    from tests.helpers import Died, dies

    buy(own_shop, rich_buyer, 5)
    before = chain.balance(SELLER)
    with monkeypatch.context() as patch:
        patch.setattr(own_transactions, "send", dies)
        with pytest.raises(Died):
            worker.settle()
    assert states() == ["settling"] * 5
    let_lapse()
    assert worker.settle() == {"settled": 5}
    assert states() == ["settled"] * 5
    assert chain.balance(SELLER) - before == 50_000
    assert Transaction.objects.count() == 1


def used_by_another(chain: LocalChain) -> Transaction:
    """Our newest transaction, in whose place another of the same wallet is in a block."""
    ours = Transaction.objects.get()
    chain.rpc("anvil_dropTransaction", ours.hash)
    me = account(0).address
    chain.rpc("eth_sendTransaction", {"from": me, "to": me, "nonce": hex(ours.nonce)})
    chain.mine()
    return ours


def test_a_nonce_that_a_reorganisation_frees_is_not_lost(
    own_shop, on_credit, slow_chain, rich_buyer
):
    """What was sent after it waits for it: a gap would stop the wallet for ever."""
    set_terms(confirmations=3)
    buy(own_shop, rich_buyer, 2)
    worker.settle()
    ours = used_by_another(slow_chain)
    worker.settle()
    ours.refresh_from_db()
    assert ours.state == "signed"
    slow_chain.rpc("anvil_reorg", 1, [])
    slow_chain.rpc("anvil_dropAllTransactions")
    buy(own_shop, rich_buyer, 1)
    worker.settle()
    Transaction.objects.update(sent_at=None)
    worker.settle()
    slow_chain.mine()
    worker.settle()
    assert states() == ["settled"] * 3


def test_a_nonce_that_somebody_else_used_is_given_up(
    own_shop, on_credit, slow_chain, rich_buyer, caplog
):
    set_terms(confirmations=3)
    buy(own_shop, rich_buyer, 2)
    worker.settle()
    ours = used_by_another(slow_chain)
    slow_chain.mine(2)
    worker.settle()
    ours.refresh_from_db()
    assert ours.state == "dropped"
    assert "nonce was used by something else" in caplog.text
    slow_chain.rpc("evm_setAutomine", True)
    let_lapse()
    worker.sweep()
    assert states() == ["settled"] * 2


# ------------------------------------------------------------------------ Gas and its price


def test_beyond_the_ceiling_nothing_is_sent(
    own_shop, on_credit, chain, rich_buyer, paywall_settings
):
    paywall_settings(GAS_PRICE_CEILING="0.000000001")
    buy(own_shop, rich_buyer, 2)
    worker.settle()
    assert states() == ["claimed"] * 2
    assert not Transaction.objects.exists()
    paywall_settings(GAS_PRICE_CEILING="100")
    let_lapse()
    assert worker.settle() == {"settled": 2}


def test_a_wallet_without_gas_takes_no_payment(own_shop, rich_buyer, paywall_settings, caplog):
    paywall_settings(GAS_KEY=Key.create().key.hex())
    response = pay(own_shop, rich_buyer.payload(own_shop.get("/item/")))
    assert (response.status_code, code(response)) == (503, "facilitator_unavailable")
    assert states() == [State.FAILED]
    assert "is low on gas" in caplog.text


def test_an_idle_wallet_that_runs_low_is_noticed(own_shop, chain, rich_buyer, caplog):
    assert pay(own_shop, rich_buyer.payload(own_shop.get("/item/"))).status_code == 200
    wallet = Wallet.objects.get()
    assert not wallet.is_low
    before = chain.rpc("eth_getBalance", wallet.address, "latest")
    chain.rpc("anvil_setBalance", wallet.address, hex(10**15))
    try:
        worker.sweep()
        assert "is low on gas" not in caplog.text
        Wallet.objects.update(balance_at=timezone.now() - timezone.timedelta(minutes=6))
        worker.sweep()
    finally:
        chain.rpc("anvil_setBalance", wallet.address, before)
    assert "is low on gas" in caplog.text
    wallet.refresh_from_db()
    assert wallet.is_low


def test_the_keys_are_not_shown(own_shop):
    from paywall import conf

    assert account(0).key.hex().removeprefix("0x") not in repr(conf.get())


def test_two_who_ask_at_once_get_one_transaction(own_shop, chain, rich_buyer):
    """As clients of a fleet do: the second would revert, on our gas."""
    from paywall import conf
    from paywall.catalog import offers
    from paywall.effects import run
    from paywall.rails.evm import schemes
    from paywall.rails.evm.onchain import OnchainFacilitator
    from paywall.vocabulary import Charge, Credential

    payload = rich_buyer.payload(own_shop.get("/item/"))
    (offer,) = offers.load("item").offers
    credential = Credential("x", "exact", offer.network, payload["payload"])
    claim = schemes.named("exact").read(credential, offer, timezone.now().timestamp(), 5)
    charge = Charge(offer, claim.payload, claim.payer, "http://x/", claim.identity)
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(run(OnchainFacilitator("default", conf.get()).settle(charge)))
        finally:
            connection.close()

    at_once([ask] * 6)
    assert Transaction.objects.count() == 1
    assert len({str(answer) for answer in answers if type(answer).__name__ == "Settled"}) == 1


def test_the_header_of_a_wallet_contract_is_carried(own_shop, on_credit, chain):
    """A contract wallet's signature travels as well; but in line, and each alone."""
    from .test_chain import deploy_wallet

    address, owner = deploy_wallet(chain)
    challenge = own_shop.get("/item/")
    payloads = [owner.payload(challenge, **{"from": address}) for _ in range(2)]
    for payload in payloads:
        payload["payload"]["signature"] += "00" * 32
        header = {"PAYMENT-SIGNATURE": encode(payload)}
        response = own_shop.get("/item/", headers=header)
        assert response.status_code == 200, response.content
    assert states() == [State.SETTLED] * 2
    assert Transaction.objects.count() == 2


# ----------------------------------------------------- Wallets that are not deployed yet

FACTORY = "0x00000000000000000000000000000000FaC70400"


@pytest.fixture
def undeployed(chain):
    """The address that a factory will give to a wallet, with money; and its owner's key."""
    contracts = local.compiled(ROOT / "tests/end_to_end/contracts/TestFactory.sol")
    chain.put(FACTORY, contracts["TestFactory"])
    owner = Key.create()
    data = keccak(text="where(address)")[:4] + encode_abi(["address"], [owner.address])
    answer = chain.rpc("eth_call", {"to": FACTORY, "data": "0x" + data.hex()}, "latest")
    address = checksum("0x" + answer[-40:])
    chain.mint(address, 1_000_000)
    return address, Buyer(owner)


def wrapped(payload, owner: Buyer):
    """The payload with its signature as ERC-6492 has it: the deployment comes along."""
    deploy = keccak(text="deploy(address)")[:4] + encode_abi(["address"], [owner.account.address])
    signature = bytes.fromhex(payload["payload"]["signature"][2:])
    inner = encode_abi(["address", "bytes", "bytes"], [FACTORY, deploy, signature])
    payload["payload"]["signature"] = "0x" + (inner + bytes.fromhex("6492") * 16).hex()
    return payload


def test_a_wallet_is_deployed_and_pays_in_one_transaction(
    own_shop, chain, undeployed, paywall_settings
):
    address, owner = undeployed
    paywall_settings(WALLET_FACTORIES=[FACTORY])
    payload = wrapped(owner.payload(own_shop.get("/item/"), **{"from": address}), owner)
    assert chain.rpc("eth_getCode", address, "latest") == "0x"
    before = chain.balance(SELLER)
    response = pay(own_shop, payload)
    assert response.status_code == 200, response.content
    assert chain.balance(SELLER) - before == 10_000
    assert chain.rpc("eth_getCode", address, "latest") != "0x"
    assert Transaction.objects.get().to == MULTICALL3
    assert worker.confirm_payments() == {"confirmed": 1}


def test_a_factory_that_nobody_named_is_not_called(own_shop, chain, undeployed):
    address, owner = undeployed
    payload = wrapped(owner.payload(own_shop.get("/item/"), **{"from": address}), owner)
    response = pay(own_shop, payload)
    assert (response.status_code, code(response)) == (402, "verification_failed")
    assert not Transaction.objects.exists()
