"""x402's scheme `upto`, by its official client and facilitator, on a chain."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest
from django.core.management import call_command
from eth_account import Account as Key
from x402 import x402ClientSync
from x402.http.clients import x402_requests
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.signers import EthAccountSignerWithRPC
from x402.mechanisms.evm.upto import UptoEvmClientScheme

from paywall.models import Payment, Transaction
from paywall.models.payments import State
from paywall.rails.evm.permit2 import PERMIT2, PROXY_UP_TO
from paywall.settlement import worker
from paywall.testing import Buyer, challenge_of, encode, outcome_of
from site_demo.chain.local import account
from tests.helpers import code, let_lapse

from .conftest import SELLER
from .helpers import settles_and_dies, signed_for

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/tokens/?n=123"


@pytest.fixture(scope="module")
def approved(chain):
    """A wallet with money that approved Permit2."""
    wallet = account(7)
    chain.mint(wallet.address, 1_000_000)
    chain.send("approve(address,uint256)", PERMIT2, 10**12, sender=7)
    return wallet


def paying(response, wallet):
    """As the official client pays."""
    assert len(challenge_of(response)["accepts"]) == 1
    payment = signed_for(response, UptoEvmClientScheme(wallet).create_payment_payload)
    return {"PAYMENT-SIGNATURE": encode(payment)}


def buy(shop, wallet, url=URL):
    return shop.get(url, headers=paying(shop.get(url), wallet))


@pytest.mark.parametrize("site", ["shop", "own_shop"])
def test_what_was_used_moves_and_is_confirmed(site, request, chain, approved):
    shop = request.getfixturevalue(site)
    headers = paying(shop.get(URL), approved)
    before = chain.balance(SELLER)
    response = shop.get(URL, headers=headers)
    assert response.status_code == 200, response.content
    assert response.json()["n"] == 123
    assert outcome_of(response)["amount"] == "12300"
    assert chain.balance(SELLER) - before == 12_300
    payment = Payment.objects.get()
    assert (payment.state, payment.captured) == (State.SETTLED, "12300")
    assert payment.identity.startswith("permit2:eip155:84532:")
    assert worker.confirm_payments() == {"confirmed": 1}
    assert code(shop.get(URL, headers=headers)) == "payment_already_used"
    assert chain.balance(SELLER) - before == 12_300
    assert Transaction.objects.filter(to=PROXY_UP_TO).count() == (site == "own_shop")


@pytest.mark.parametrize("site", ["shop", "own_shop"])
def test_nothing_used_sends_nothing(site, request, chain, approved):
    shop = request.getfixturevalue(site)
    before = chain.balance(SELLER)
    response = buy(shop, approved, "/api/tokens/?n=0")
    assert (response.status_code, response.json()["n"]) == (200, 0)
    assert chain.balance(SELLER) == before
    payment = Payment.objects.get()
    assert (payment.state, payment.captured, payment.reference) == (State.CONFIRMED, "0", "")
    assert not Transaction.objects.exists()


def test_the_most_is_the_most(shop, chain, approved):
    before = chain.balance(SELLER)
    assert buy(shop, approved, "/api/tokens/?n=9999").json()["n"] == 500
    assert chain.balance(SELLER) - before == 50_000
    assert worker.confirm_payments() == {"confirmed": 1}


@pytest.mark.parametrize("site", ["shop", "own_shop"])
def test_who_did_not_approve_is_told(site, request, chain):
    shop = request.getfixturevalue(site)
    stranger = Key.create()
    chain.mint(stranger.address, 1_000_000)
    response = buy(shop, stranger)
    assert (response.status_code, code(response)) == (402, "verification_failed")
    assert "permit2_allowance_required" in response.content.decode()
    assert not Payment.objects.exists()


def test_our_own_buyer_signs_the_same(shop, approved):
    response = shop.get(URL, headers=Buyer(approved).pays(shop.get(URL)))
    assert response.status_code == 200, response.content


def test_a_lost_answer_is_waited_for_and_another_amount_is_no_proof(
    shop, chain, approved, facilitator, facilitator_url, paywall_settings
):
    """Permit2 writes no log with its nonce: what moved in which transaction, somebody must say."""
    headers = paying(shop.get(URL), approved)
    facilitator.settle = settles_and_dies(facilitator_url)
    paywall_settings(FACILITATOR_URL=facilitator.url)
    assert code(shop.get(URL, headers=headers)) == "settlement_pending"
    assert Payment.objects.get().state == State.SETTLING
    let_lapse()
    assert worker.sweep() == {"unknown": 1}
    assert Payment.objects.get().state == State.SETTLING


# ------------------------------------------------------------------------ The demo, by itself


def official_client(wallet):
    client = x402ClientSync()
    client.register("eip155:*", UptoEvmClientScheme(EthAccountSigner(wallet)))
    return x402_requests(client)


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_the_official_client_buys_of_the_demo(make_site, chain, approved, server):
    site = make_site(server).start()
    before = chain.balance(SELLER)
    response = official_client(approved).get(f"{site.url}{URL}")
    assert (response.status_code, response.json()["n"]) == (200, 123), response.text
    assert chain.balance(SELLER) - before == 12_300
    assert site.manage("paywall_run", "--once").strip() == "confirm: 1 confirmed"
    shown = "p = Payment.objects.get(); print(p.state, p.authorized, p.captured, p.price)"
    assert site.shell(f"from paywall.models import Payment; {shown}").split() == [
        *("confirmed", "50000", "12300", "0.01230000"),
    ]


@pytest.mark.parametrize("who", ["facilitator", "the site itself"])
def test_who_has_no_gas_signs_the_approval_too(make_site, chain, who):
    """The official client reads the chain, and sees that Permit2 is not approved."""
    own = {"PAYWALL_FACILITATOR_URL": "", "PAYWALL_GAS_KEY": account(0).key.hex()}
    site = make_site(**(own if who == "the site itself" else {})).start()
    stranger = Key.create()
    chain.mint(stranger.address, 1_000_000)
    client = x402ClientSync()
    client.register(
        "eip155:*", UptoEvmClientScheme(EthAccountSignerWithRPC(stranger, rpc_url=chain.url))
    )
    before = chain.balance(SELLER)
    for _ in range(2):  # and again: the approval is for one payment
        response = x402_requests(client).get(f"{site.url}{URL}")
        assert response.status_code == 200, response.text
    assert chain.balance(SELLER) - before == 24_600
    assert site.manage("paywall_run", "--once").strip() == "confirm: 2 confirmed"


def let_the_engine(site):
    """Whoever held the payment has been gone for a while."""
    site.shell(
        "from paywall.models import Payment; from django.utils import timezone; "
        "Payment.objects.update(held_until=timezone.now(), due_at=timezone.now())"
    )
    return site.manage("paywall_run", "--once")


def captured(site):
    found = "print(*Payment.objects.values_list('state', 'used', 'captured').get())"
    return site.shell(f"from paywall.models import Payment; {found}").split()


@pytest.mark.parametrize("how", ["hangs up", "is killed"])
def test_a_stream_that_breaks_off_is_paid_as_far_as_it_went(make_site, chain, approved, how):
    env = {"PAYWALL_DIE_AT": "stream: counted"} if how == "is killed" else {}
    site = make_site("uvicorn", **env).start()
    url = f"{site.url}/api/dictation/?n=400"
    headers = paying(httpx.get(url), approved)
    before = chain.balance(SELLER)
    heard = 0
    with (
        contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError),
        httpx.stream("GET", url, headers=headers, timeout=30) as response,
    ):
        assert response.status_code == 200
        for _ in response.iter_lines():
            heard += 1
            if heard == 40 and how == "hangs up":
                break
    assert heard >= 3
    if how == "is killed":
        site.kill()
        del site.env["PAYWALL_DIE_AT"]
    else:
        wait_until(lambda: captured(site)[1] != "0")
    let_the_engine(site)
    state, used, taken = captured(site)
    assert (state, used) == ("confirmed", taken)
    assert chain.balance(SELLER) - before == int(taken)
    # What was heard, but for the second that was not written down yet, or was on its way.
    assert abs(int(taken) - heard * 100) <= 30 * 100


def wait_until(is_so, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_is_in_the_books(shop, chain, approved):
    buy(shop, approved)
    worker.confirm_payments()
    call_command("paywall_reconcile", verbosity=0)  # exits where the chain and the ledger differ
