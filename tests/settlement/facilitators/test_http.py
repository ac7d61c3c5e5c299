"""What a facilitator's answers prove, over real HTTP."""

from __future__ import annotations

from decimal import Decimal

import pytest

from paywall import conf
from paywall.effects import arun, run
from paywall.exceptions import Code
from paywall.protocols.x402.requirements import requirements
from paywall.rails.evm.addresses import is_transaction_hash
from paywall.settlement.facilitators.http import HttpFacilitator
from paywall.vocabulary import Charge, Offer, Rejected, Settled, Unknown
from tests import doubles
from tests.doubles import TX, Answer, failure, success

OFFER = Offer(
    rail="evm",
    scheme="exact",
    network="eip155:84532",
    amount=10000,
    timeout=300,
    terms={
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "extra": {"name": "USDC", "version": "2"},
    },
    account_id=1,
    price_id=1,
    price=Decimal("0.01"),
    currency="USD",
    symbol="USDC",
    decimals=6,
)
PAYER = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
CHARGE = Charge(
    offer=OFFER,
    payload={"signature": "0x01", "authorization": {"from": PAYER}},
    payer=PAYER,
    url="https://shop.example/item/",
    identity="one",
)


@pytest.fixture
def double():
    with doubles.facilitator() as running:
        running.settle = success()  # nobody signed the charge above
        yield running


def asked(**settings):
    read = conf.read(settings)
    remote = read.remotes()["default"]
    assert remote is not None
    return HttpFacilitator("default", remote, read, is_transaction_hash)


def settle(double, **settings):
    settings = {"FACILITATOR_URL": double.url, "FACILITATOR_READ_TIMEOUT": 1.0, **settings}
    return run(asked(**settings).settle(CHARGE))


def test_a_named_transaction_is_settled(double):
    assert settle(double) == Settled(TX)


def test_the_official_body_is_sent(double):
    settle(double)
    (sent,) = double.asked("/settle")
    assert sent["x402Version"] == 2
    assert sent["paymentRequirements"] == requirements(OFFER)
    assert sent["paymentPayload"]["accepted"] == requirements(OFFER)
    assert sent["paymentPayload"]["payload"] == CHARGE.payload
    assert sent["paymentPayload"]["resource"] == {"url": CHARGE.url}


def test_a_v1_name_of_the_network_will_do(double):
    double.settle = success(network="base-sepolia")
    assert settle(double) == Settled(TX)


@pytest.mark.parametrize(
    "reason",
    [
        "invalid_exact_evm_payload_signature",
        "invalid_exact_evm_payload_authorization_valid_before",
        "invalid_exact_evm_insufficient_balance",
        "insufficient_funds",
        "unsupported_scheme",
    ],
)
def test_a_refusal_before_anything_was_sent_is_certain(double, reason):
    double.settle = failure(reason)
    assert settle(double) == Rejected(reason)
    double.settle = failure(reason, status=402)
    assert settle(double) == Rejected(reason)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(502, b"<html>Bad Gateway</html>", "text/html"),
        Answer(503, {"success": True, "transaction": TX, "network": "eip155:84532"}),
        Answer(500, {"success": False, "errorReason": "insufficient_funds", "transaction": ""}),
        Answer(200, b"OK", "text/plain"),
        Answer(200, b""),
        Answer(200, []),
        Answer(200, {}),
        Answer(200, b'{"success": true, "transaction": "0x', cut=True),
        Answer(die=True),
        Answer(hang=3, body={"success": True}),
        failure("settlement_pending", TX),
        failure("settlement_pending"),
        failure("transaction_failed", TX),
        failure("transaction_failed"),
        failure("invalid_exact_evm_nonce_already_used"),
        failure("invalid_exact_evm_payload_authorization_nonce_used"),
        failure("invalid_exact_evm_failed_to_execute_transfer"),
        failure("invalid_exact_evm_transfer_event_mismatch", TX),
        failure("unexpected_settle_error"),
        failure("invalid_exact_evm_insufficient_balance", TX),
        failure("something new"),
        success(""),
        success("0x"),
        success("junk"),
        success(None),
        success("0x" + "00" * 32),
        success(network="eip155:1"),
        success(payer="0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        success(success="true"),
        success(success="false"),
        success(success=1),
        Answer(409, success().body),
    ],
)
def test_everything_else_proves_nothing(double, answer):
    double.settle = answer
    patience = {"FACILITATOR_READ_TIMEOUT": 0.2} if answer.hang else {}
    assert isinstance(settle(double, **patience), Unknown)


def test_a_pending_settlement_names_its_transaction(double):
    double.settle = failure("settlement_pending", TX)
    assert settle(double) == Unknown("settlement_pending", TX)


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 405, 429])
def test_a_server_that_did_not_act_is_our_trouble(double, status):
    """And a redirect is not followed: nobody configured that host."""
    double.settle = Answer(status, {"error": "no"})
    outcome = settle(double)
    assert isinstance(outcome, Rejected)
    assert outcome.ours
    assert outcome.code == Code.FACILITATOR_UNAVAILABLE


def test_nobody_there_means_nothing_was_sent(double):
    outcome = settle(double, FACILITATOR_URL="http://127.0.0.1:1")
    assert isinstance(outcome, Rejected)
    assert outcome.ours


def test_a_hostile_reason_does_not_get_through(double):
    double.settle = failure("<script>\r\nX-Evil: 1")
    assert settle(double) == Unknown("a failure without a reason")


def test_bearer_and_custom_headers(double):
    settle(double, FACILITATOR_TOKEN="s3cret", FACILITATOR_HEADERS={"X-Shop": "7"})
    _, _, headers = double.requests[0]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["X-Shop"] == "7"


def sign_each_request(endpoint: str) -> dict[str, str]:
    return {"X-Signed-For": endpoint}


def broken_hook(endpoint: str) -> dict[str, str]:
    raise KeyError(endpoint)


@pytest.mark.parametrize(
    "settings",
    [
        {"FACILITATOR_HEADERS": f"{__name__}.broken_hook"},
        {"FACILITATOR_HEADERS": "no.such.function"},
    ],
)
def test_a_request_that_cannot_be_made_is_our_trouble(double, settings):
    """And no payment is left in doubt over it."""
    outcome = settle(double, **settings)
    assert isinstance(outcome, Rejected)
    assert outcome.ours
    assert double.requests == []


def test_headers_by_a_function(double):
    settle(double, FACILITATOR_HEADERS=f"{__name__}.sign_each_request")
    assert double.requests[0][2]["X-Signed-For"] == "settle"


def test_connections_are_used_again(double):
    for _ in range(5):
        settle(double)
    assert len(double.requests) == 5
    assert len(double.connections) == 1


@pytest.mark.parametrize(
    ("answer", "valid", "reason"),
    [
        (Answer(body={"isValid": True}), True, ""),
        (Answer(body={"isValid": False, "invalidReason": "bad_thing"}), False, "bad_thing"),
        (Answer(400, {"isValid": False, "invalidReason": "bad_thing"}), False, "bad_thing"),
        (Answer(400, {"isValid": True}), None, "valid, with status 400"),
        (Answer(500, {"isValid": True}), None, "status 500"),
    ],
)
def test_what_verify_says(double, answer, valid, reason):
    double.verify = answer
    verdict = run(asked(FACILITATOR_URL=double.url).verify(CHARGE))
    assert (verdict.valid, verdict.reason) == (valid, reason)


@pytest.mark.parametrize(
    "answer",
    [Answer(body={"isValid": "true"}), Answer(body=b"yes"), Answer(die=True), Answer(502, b"")],
)
def test_a_verify_that_says_nothing(double, answer):
    double.verify = answer
    verdict = run(asked(FACILITATOR_URL=double.url).verify(CHARGE))
    assert verdict.valid is None


async def _settle_async(double):
    return await arun(asked(FACILITATOR_URL=double.url).settle(CHARGE))


def test_the_same_on_an_event_loop(double):
    import asyncio

    assert asyncio.run(_settle_async(double)) == Settled(TX)
    double.settle = Answer(die=True)
    assert isinstance(asyncio.run(_settle_async(double)), Unknown)
