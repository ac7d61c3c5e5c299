"""Which logs prove a payment, and which only look like it."""

from __future__ import annotations

import pytest

from paywall.rails.evm.eip3009 import (
    AUTHORIZATION_USED_TOPIC,
    TRANSFER_TOPIC,
    TransferAuthorization,
)
from paywall.rails.evm.evidence import Question, moved
from paywall.rails.evm.rpc import Log, TransactionReceipt

TOKEN = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYER = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"
SELLER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OTHER = "0x" + "11" * 20
NONCE = "0x" + "aa" * 32
QUESTION = Question(TOKEN, TransferAuthorization(PAYER, SELLER, 10_000, 0, 2**40, NONCE), 0, 1)


def topic(address: str) -> str:
    return "0x" + "0" * 24 + address[2:].lower()


def used(payer: str = PAYER, nonce: str = NONCE, token: str = TOKEN) -> Log:
    return Log(token.lower(), (AUTHORIZATION_USED_TOPIC, topic(payer), nonce), "0x", "0x1")


def transfer(payer: str = PAYER, to: str = SELLER, value: int = 10_000, token: str = TOKEN) -> Log:
    topics = (TRANSFER_TOPIC, topic(payer), topic(to))
    return Log(token.lower(), topics, f"0x{value:064x}", "0x1")


def receipt(*logs: Log, succeeded: bool = True) -> TransactionReceipt:
    return TransactionReceipt("0x1", succeeded, 7, "0x2", logs)


NEXT_NONCE = "0x" + "bb" * 32


@pytest.mark.parametrize(
    "logs",
    [
        (used(), transfer()),
        (transfer(), used()),  # a token that writes them the other way round
        (used(token=OTHER), used(), transfer(token=OTHER), transfer()),
        (used(nonce=NEXT_NONCE), transfer(value=5), used(), transfer()),
        (used(), transfer(), used(nonce=NEXT_NONCE), transfer(to=OTHER)),
    ],
)
def test_the_two_logs_side_by_side_are_a_payment(logs):
    assert moved(receipt(*logs), QUESTION)


@pytest.mark.parametrize(
    "logs",
    [
        (),
        (transfer(),),  # somebody's transfer, not this authorization's
        (used(),),  # a token that does not revert on a used nonce, and moves nothing
        (used(token=OTHER), transfer(token=OTHER)),
        (used(), transfer(token=OTHER)),
        (used(), transfer(value=9_999)),
        (used(), transfer(to=OTHER)),
        (used(), transfer(payer=OTHER)),
        (used(payer=OTHER), transfer()),
        (used(nonce=NEXT_NONCE), transfer()),
        (used(), used(nonce=NEXT_NONCE), transfer()),  # the neighbour's money
        (used(), transfer(to=OTHER), transfer()),
    ],
)
def test_what_only_looks_like_a_payment(logs):
    assert not moved(receipt(*logs), QUESTION)


def test_a_transfer_without_an_amount_is_none():
    strange = Log(TOKEN.lower(), transfer().topics, "0x", "0x1")
    assert not moved(receipt(used(), strange), QUESTION)


def test_a_reverted_transaction_moved_nothing():
    assert not moved(receipt(used(), transfer(), succeeded=False), QUESTION)
