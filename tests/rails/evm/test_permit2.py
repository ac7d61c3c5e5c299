from __future__ import annotations

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from x402.mechanisms.evm.constants import (
    PERMIT2_ADDRESS,
    PERMIT2_WITNESS_TYPES,
    X402_EXACT_PERMIT2_PROXY_ADDRESS,
)

from paywall.rails.evm import permit2
from paywall.rails.evm.permit2 import PermitTransfer

uint256 = st.integers(0, 2**256 - 1)
address = st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())


def test_the_contracts_are_the_official_ones():
    assert (permit2.PERMIT2, permit2.PROXY) == (PERMIT2_ADDRESS, X402_EXACT_PERMIT2_PROXY_ADDRESS)


@given(
    payer=address,
    token=address,
    spender=address,
    to=address,
    value=uint256,
    nonce=uint256,
    deadline=uint256,
    valid_after=uint256,
    chain_id=st.integers(1, 2**64),
)
def test_the_digest_is_eip712s(
    payer, token, spender, to, value, nonce, deadline, valid_after, chain_id
):
    fields = {
        "from": payer,
        "permitted": {"token": token, "amount": str(value)},
        "spender": spender,
        "nonce": str(nonce),
        "deadline": str(deadline),
        "witness": {"to": to, "validAfter": str(valid_after)},
    }
    theirs = encode_typed_data(
        {"name": "Permit2", "chainId": chain_id, "verifyingContract": PERMIT2_ADDRESS},
        PERMIT2_WITNESS_TYPES,
        {
            "permitted": {"token": token, "amount": value},
            "spender": spender,
            "nonce": nonce,
            "deadline": deadline,
            "witness": {"to": to, "validAfter": valid_after},
        },
    )
    permit = PermitTransfer.read(fields)
    assert permit.digest(chain_id) == _hash_eip191_message(theirs)
    assert PermitTransfer.read(permit.json()) == permit


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"permitted": None, "witness": {}},
        {"permitted": {"token": "0x" + "11" * 20, "amount": 5}, "witness": {}},
    ],
)
def test_what_is_no_permit_is_refused(fields):
    with pytest.raises(ValueError):
        PermitTransfer.read(fields)
