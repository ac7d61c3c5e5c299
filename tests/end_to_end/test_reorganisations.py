"""Confirming by ranges of blocks, and what happens when the chain takes blocks back."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from paywall import conf
from paywall.effects import run
from paywall.models import Cursor, Payment, Receipt, Transaction
from paywall.models.payments import State
from paywall.rails.evm import transfers
from paywall.rails.evm.rpc import Declined, Node
from paywall.reports import status
from paywall.settlement import worker
from paywall.testing import Buyer
from site_demo.chain.local import CHAIN_ID, USDC, LocalChain, account
from tests.doubles import success
from tests.helpers import let_lapse, set_terms

from .conftest import SELLER
from .helpers import pay, submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def chain(private_chain, paywall_settings):
    paywall_settings(RESCAN_BLOCKS=32)
    return private_chain


@pytest.fixture
def buyer() -> Buyer:
    return Buyer(account(5))


@pytest.fixture
def shop(chain) -> Client:
    return Client()


def buy(shop: Client, buyer: Buyer) -> dict[str, Any]:
    payload = buyer.payload(shop.get("/item/"))
    assert pay(shop, payload).status_code == 200
    return payload


@pytest.mark.parametrize("depth", [1, 3, 12])
def test_a_confirmed_payment_comes_back_after_a_reorganisation(shop, chain, buyer, depth):
    """Its block vanishes, with the transaction: it is sent again and confirmed once more."""
    chain.mine(12)
    buy(shop, buyer)
    chain.mine(depth - 1)
    assert worker.confirm_payments() == {"confirmed": 1}
    number = Receipt.objects.get().number
    chain.rpc("anvil_reorg", depth, [])
    assert chain.balance(SELLER) == 0

    counts = worker.confirm_payments()

    assert counts["back to settling"] == 1
    payment = Payment.objects.get()
    assert (payment.state, payment.position) == (State.SETTLING, None)
    for _ in range(5):
        let_lapse()
        worker.sweep()
        worker.confirm_payments()
    payment.refresh_from_db()
    assert payment.state == State.CONFIRMED
    assert chain.balance(SELLER) == 10_000
    assert Transaction.objects.count() == 1
    assert Receipt.objects.get().number == number
    block = chain.rpc("eth_getBlockByNumber", hex(payment.position), False)
    assert block["hash"] == payment.evidence["block_hash"]


def test_a_transaction_that_moved_to_another_block_stays_confirmed(shop, chain, buyer):
    payload = buy(shop, buyer)
    assert worker.confirm_payments() == {"confirmed": 1}
    before = Payment.objects.get()
    chain.rpc("anvil_reorg", 1, [])
    transaction = submit(chain, payload)  # somebody else puts it on the new chain
    assert worker.confirm_payments() == {}
    after = Payment.objects.get()
    assert after.state == State.CONFIRMED
    assert after.reference == transaction != before.reference
    assert after.evidence["block_hash"] != before.evidence["block_hash"]


def test_what_comes_back_less_deep_is_settled_until_it_is_deep_again(shop, chain, buyer):
    set_terms(confirmations=3)
    payload = buy(shop, buyer)
    chain.mine(2)
    assert worker.confirm_payments() == {"confirmed": 1}
    chain.rpc("anvil_reorg", 3, [])
    submit(chain, payload)
    counts = worker.confirm_payments()
    assert counts["back to settled"] == 1
    chain.mine(2)
    assert worker.confirm_payments() == {"confirmed": 1}


def test_what_the_chain_took_back_for_good_is_lost(shop, chain, make_resource):
    """The authorization expired meanwhile: the money is gone, the pass is revoked."""
    make_resource("season", access="forever")
    poor = Buyer()
    chain.mint(poor.account.address, 10_000)
    client = Client()
    challenge = client.get("/by-object/season/")
    assert client.get("/by-object/season/", headers=poor.pays(challenge)).status_code == 200
    assert worker.confirm_payments() == {"confirmed": 1}
    chain.rpc("anvil_reorg", 1, [])
    chain.advance(600)
    worker.confirm_payments()
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == (State.LOST, "nothing_moved")
    assert client.get("/by-object/season/").status_code == 402


def test_a_reorganisation_while_nothing_is_confirmed_is_harmless(shop, chain, buyer):
    set_terms(confirmations=5)
    chain.mine(5)
    buy(shop, buyer)
    worker.confirm_payments()
    chain.rpc("anvil_reorg", 3, [])
    worker.confirm_payments()
    Payment.objects.update(settled_at=timezone.now() - timezone.timedelta(minutes=5))
    for _ in range(8):
        let_lapse()
        worker.sweep()
        chain.mine()
        worker.confirm_payments()
    assert Payment.objects.get().state == State.CONFIRMED
    assert chain.balance(SELLER) == 10_000


def test_a_vanished_transaction_leaves_no_gap_in_the_nonces(shop, chain, buyer, paywall_settings):
    """One was mined and vanished before anything was confirmed; the next nonce waits for it."""
    paywall_settings(FACILITATOR_READ_TIMEOUT=1.0)
    set_terms(confirmations=20)
    chain.mine(5)
    buy(shop, buyer)
    worker.confirm_payments()
    chain.rpc("anvil_reorg", 3, [])
    chain.mint(account(5).address, 10**9)
    buyer_waits = buyer.payload(shop.get("/item/"))
    pay(shop, buyer_waits)
    for _ in range(3):
        let_lapse()
        worker.sweep()
    assert chain.balance(SELLER) == 20_000
    assert set(Transaction.objects.values_list("state", flat=True)) == {"mined"}


def test_an_account_can_wait_for_finality(shop, chain, buyer):
    """Anvil calls final what is 64 blocks deep."""
    set_terms(finalized=True)
    buy(shop, buyer)
    chain.mine(60)
    assert worker.confirm_payments() == {"waiting": 1}
    chain.mine(10)
    assert worker.confirm_payments() == {"confirmed": 1}
    assert Cursor.objects.get().depth == "finalized"


# ------------------------------------------------------------------------ Reading in ranges


class Front:
    """A node before a node: it counts, refuses too much, lags, lies or is down."""

    def __init__(self, chain: LocalChain) -> None:
        self.chain = chain
        self.calls: list[str] = []
        self.most_logs = 10_000
        self.behind = 0
        self.down = False
        self.lie: dict[str, Any] = {}
        self.client = httpx.Client(timeout=30)

    def __enter__(self) -> Front:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = front.answer(body)
                content = json.dumps({"jsonrpc": "2.0", "id": body["id"], **answer}).encode()
                self.send_response(503 if front.down else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        method, parameters = body["method"], body["params"]
        self.calls.append(method)
        if self.down:
            return {}
        if method in self.lie:
            return {"result": self.lie[method]}
        if self.behind and method == "eth_getBlockByNumber" and parameters[0] == "latest":
            head = int(self.chain.rpc("eth_blockNumber"), 16)
            body = {**body, "params": [hex(head - self.behind), False]}
        answer = dict(self.client.post(self.chain.url, json=body).json())
        if method == "eth_getLogs" and len(answer["result"]) > self.most_logs:
            return {"error": {"code": -32005, "message": "query returned too many results"}}
        return answer


@pytest.fixture
def front(chain, paywall_settings):
    with Front(chain) as front:
        paywall_settings(RPC_URLS={f"eip155:{CHAIN_ID}": front.url})
        yield front


def test_the_cost_grows_with_blocks_not_with_payments(shop, chain, front, buyer):
    for _ in range(25):
        buy(shop, buyer)
    front.calls.clear()
    assert worker.confirm_payments() == {"confirmed": 25}
    few = len(front.calls)
    assert front.calls.count("eth_getLogs") == 2
    front.calls.clear()
    worker.confirm_payments()
    assert "eth_getLogs" not in front.calls
    assert len(front.calls) < few


def test_a_node_that_finds_it_too_much_is_asked_for_halves(shop, chain, front, buyer):
    for _ in range(9):
        buy(shop, buyer)
        chain.mine(3)
    front.most_logs = 3
    assert worker.confirm_payments() == {"confirmed": 9}
    assert front.calls.count("eth_getLogs") > 6


def test_a_node_that_refuses_even_one_block_is_an_error(chain, front):
    front.most_logs = -1
    with pytest.raises(Declined):
        run(transfers.incoming(Node((front.url,)), USDC, [SELLER], 0, 2))


def test_a_node_that_lags_only_delays(shop, chain, front, buyer):
    buy(shop, buyer)
    assert worker.confirm_payments() == {"confirmed": 1}
    buy(shop, buyer)
    front.behind = 4
    assert worker.confirm_payments()["waiting"] == 1
    front.behind = 0
    assert worker.confirm_payments() == {"confirmed": 1}


def test_the_next_node_is_asked_where_one_is_down(shop, chain, front, buyer, paywall_settings):
    paywall_settings(RPC_URLS={f"eip155:{CHAIN_ID}": [front.url, chain.url]})
    front.down = True
    buy(shop, buyer)
    assert worker.confirm_payments() == {"confirmed": 1}
    asked = len(front.calls)
    buy(shop, buyer)
    assert len(front.calls) == asked  # it is asked last for a while


def test_one_node_that_lies_does_not_lose_a_payment(shop, chain, front, buyer, paywall_settings):
    """It says that the nonce is unused and the time is over; the other one knows better."""
    buy(shop, buyer)
    lie = {"number": hex(10**6), "timestamp": hex(2**33), "hash": "0x" + "ee" * 32}
    front.lie = {
        "eth_getBlockByNumber": lie,
        "eth_call": "0x" + "0" * 64,
        "eth_getTransactionReceipt": None,
        "eth_getLogs": [],
    }
    paywall_settings(RPC_URLS={f"eip155:{CHAIN_ID}": [front.url, chain.url]})
    Payment.objects.update(settled_at=timezone.now() - timezone.timedelta(minutes=5))
    let_lapse()
    assert worker.confirm_payments() == {"waiting": 1}
    assert Payment.objects.get().state == State.SETTLED
    # Nor does it stop the reading for good: what it said of the future is forgotten.
    front.lie = {}
    assert worker.confirm_payments() == {"waiting": 1}
    Cursor.objects.update(read_at=timezone.now() - timezone.timedelta(minutes=15))
    assert worker.confirm_payments() == {"confirmed": 1}


def test_when_no_node_answers_the_engine_is_behind(shop, chain, front, buyer, settings):
    buy(shop, buyer)
    worker.confirm_payments()
    buy(shop, buyer)
    front.down = True
    assert worker.confirm_payments() == {"waiting": 1}
    assert status.is_keeping_up()
    long_ago = timezone.now() - timezone.timedelta(minutes=5)
    Payment.objects.update(settled_at=long_ago)
    Cursor.objects.update(read_at=long_ago)
    assert not status.is_keeping_up()
    front.down = False
    let_lapse()
    worker.confirm_payments()
    assert status.is_keeping_up()


def test_what_nobody_settled_for_us_is_found_in_the_logs(
    shop, chain, buyer, facilitator, paywall_settings
):
    """An unknown outcome, submitted by somebody else: settled and confirmed by the logs alone."""
    from tests.doubles import Answer

    paywall_settings(FACILITATOR_URL=facilitator.url, GAS_KEY="")
    facilitator.settle = Answer(die=True)
    worker.confirm_payments()
    payload = buyer.payload(shop.get("/item/"))
    assert pay(shop, payload).status_code == 503
    submit(chain, payload)
    let_lapse()
    assert worker.confirm_payments() == {"confirmed": 1}
    assert pay(shop, payload).status_code == 200


def test_what_is_read_while_its_request_still_holds_it_is_not_overlooked(
    shop, chain, buyer, facilitator, paywall_settings
):
    """The logs are there before the request has written that it is settled."""
    worker.confirm_payments()
    payload = buyer.payload(shop.get("/item/"))

    def settle_and_be_read() -> str:
        transaction = submit(chain, payload)
        assert worker.confirm_payments() == {}
        connection.close()
        return transaction

    facilitator.settle = success(settle_and_be_read)
    paywall_settings(FACILITATOR_URL=facilitator.url, GAS_KEY="")
    assert pay(shop, payload).status_code == 200
    assert worker.confirm_payments() == {"confirmed": 1}


def test_the_first_cursor_starts_before_what_is_open(shop, chain, buyer):
    """Installed on an old chain, nothing is read from its beginning."""
    chain.mine(100)
    buy(shop, buyer)
    chain.mine(5)
    assert worker.confirm_payments() == {"confirmed": 1}
    assert conf.get().log_range == 2000
