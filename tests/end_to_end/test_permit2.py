"""A buyer who approved Permit2 pays through x402's proxy: official client and facilitator."""

from __future__ import annotations

import copy
from functools import partial

import pytest
from django.test import Client
from eth_account import Account as Key
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact.permit2_utils import create_permit2_payload

from paywall.models import Payment, Transaction
from paywall.models.payments import State
from paywall.rails.evm.permit2 import PERMIT2, PROXY
from paywall.settlement import worker
from site_demo.chain.local import account
from tests.doubles import Answer
from tests.helpers import code, let_lapse

from .conftest import SELLER
from .helpers import pay, settles_and_dies, signed_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def approved(chain):
    """A wallet with money that approved Permit2."""
    wallet = account(6)
    chain.mint(wallet.address, 1_000_000)
    chain.send("approve(address,uint256)", PERMIT2, 10**12, sender=6)
    return wallet


def permit_for(response, wallet):
    return signed_for(response, partial(create_permit2_payload, EthAccountSigner(wallet)))


def test_it_pays_once_and_is_confirmed(shop, chain, approved):
    payload = permit_for(shop.get("/item/"), approved)
    before = chain.balance(SELLER)
    response = pay(shop, payload)
    assert response.status_code == 200, response.content
    assert chain.balance(SELLER) - before == 10_000
    payment = Payment.objects.get()
    assert payment.identity.startswith("permit2:eip155:84532:")
    assert worker.confirm_payments() == {"confirmed": 1}
    assert code(pay(shop, payload)) == "payment_already_used"
    assert chain.balance(SELLER) - before == 10_000


def test_the_site_settles_it_itself(own_shop, chain, approved):
    """The official mechanism makes the call, our outbox sends it."""
    payload = permit_for(own_shop.get("/item/"), approved)
    before = chain.balance(SELLER)
    response = pay(own_shop, payload)
    assert response.status_code == 200, response.content
    assert chain.balance(SELLER) - before == 10_000
    assert Transaction.objects.get().to == PROXY
    assert worker.confirm_payments() == {"confirmed": 1}
    assert code(pay(own_shop, payload)) == "payment_already_used"


def test_the_site_itself_refuses_who_did_not_approve(own_shop, chain):
    stranger = Key.create()
    chain.mint(stranger.address, 1_000_000)
    response = pay(own_shop, permit_for(own_shop.get("/item/"), stranger))
    assert (response.status_code, code(response)) == (402, "verification_failed")
    assert not Transaction.objects.exists()


def test_the_facilitator_is_asked_whether_it_was_approved(shop, chain):
    stranger = Key.create()
    chain.mint(stranger.address, 1_000_000)
    response = pay(shop, permit_for(shop.get("/item/"), stranger))
    assert (response.status_code, code(response)) == (402, "verification_failed")
    assert not Payment.objects.exists()


def test_a_lost_answer_is_found_or_waited_for(
    shop,
    chain,
    approved,
    facilitator,
    facilitator_url,
    paywall_settings,
):
    """Permit2 writes no log with its nonce: without a named transaction nothing is proven."""
    payload = permit_for(shop.get("/item/"), approved)
    paywall_settings(FACILITATOR_URL=facilitator.url)
    facilitator.settle = settles_and_dies(facilitator_url)
    assert code(pay(shop, payload)) == "settlement_pending"
    assert Payment.objects.get().state == State.SETTLING
    let_lapse()
    assert worker.sweep() == {"unknown": 1}


def test_another_payments_transaction_is_no_proof(
    shop,
    chain,
    approved,
    facilitator,
    facilitator_url,
    paywall_settings,
):
    paywall_settings(FACILITATOR_URL=facilitator_url)
    pay(shop, permit_for(shop.get("/item/"), approved))
    other = Payment.objects.get()
    paywall_settings(FACILITATOR_URL=facilitator.url)
    facilitator.settle = Answer(
        body={"success": True, "transaction": other.reference, "network": other.network}
    )
    assert pay(shop, permit_for(shop.get("/item/"), approved)).status_code == 200
    assert worker.confirm_payments() == {"confirmed": 1, "waiting": 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("witness", "to", "0x" + "11" * 20), "invalid_exact_evm_payload_recipient_mismatch"),
        (
            ("permitted", "amount", "1"),
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (("permitted", "token", "0x" + "11" * 20), "invalid_payment_requirements"),
        (("spender", None, "0x" + "11" * 20), "invalid_payment_requirements"),
        (("deadline", None, "1"), "invalid_exact_evm_payload_authorization_valid_before"),
        (("nonce", None, "5"), "invalid_exact_evm_payload_signature"),
        (("from", None, SELLER), "invalid_exact_evm_payload_signature"),
    ],
)
def test_what_was_changed_is_refused_here(item, facilitator, change, expected):
    """Whatever a facilitator says: the double would say yes."""
    facilitator.verify = Answer(body={"isValid": True})
    client = Client()
    payload = copy.deepcopy(permit_for(client.get("/item/"), account(6)))
    outer, inner, value = change
    permit = payload["payload"]["permit2Authorization"]
    if inner is None:
        permit[outer] = value
    else:
        permit[outer][inner] = value
    response = pay(client, payload)
    assert (response.status_code, code(response)) == (402, expected)
    assert facilitator.requests == []
