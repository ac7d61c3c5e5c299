from __future__ import annotations

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from paywall.rails.evm import eip3009
from paywall.rails.evm.eip3009 import TransferAuthorization
from paywall.testing import TYPES, Buyer

OFFER = {
    "network": "eip155:84532",
    "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "payTo": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "amount": "10000",
    "maxTimeoutSeconds": 60,
    "extra": {"name": "USDC", "version": "2"},
}
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
uint256 = st.integers(0, 2**256 - 1)
address = st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())


def domain() -> bytes:
    return eip3009.domain_separator("USDC", "2", 84532, OFFER["asset"])


def signed(buyer: Buyer) -> tuple[TransferAuthorization, bytes]:
    fields = buyer.authorize(OFFER)
    return TransferAuthorization.read(fields), eip3009.read_signature(buyer.sign(fields, OFFER))


@given(
    payer=address,
    to=address,
    value=uint256,
    after=uint256,
    before=uint256,
    nonce=st.binary(min_size=32, max_size=32),
    name=st.text(max_size=20),
    chain_id=st.integers(1, 2**64),
)
def test_the_digest_is_eip712s(payer, to, value, after, before, nonce, name, chain_id):
    """By hand over a cached domain, and by eth-account: the same 32 bytes."""
    authorization = TransferAuthorization.read(
        {
            "from": payer,
            "to": to,
            "value": str(value),
            "validAfter": str(after),
            "validBefore": str(before),
            "nonce": "0x" + nonce.hex(),
        }
    )
    theirs = encode_typed_data(
        {
            "name": name,
            "version": "2",
            "chainId": chain_id,
            "verifyingContract": OFFER["asset"],
        },
        TYPES,
        {
            "from": payer,
            "to": to,
            "value": value,
            "validAfter": after,
            "validBefore": before,
            "nonce": nonce,
        },
    )
    ours = authorization.digest(eip3009.domain_separator(name, "2", chain_id, OFFER["asset"]))
    assert ours == _hash_eip191_message(theirs)


def test_the_signer_is_found():
    buyer = Buyer()
    authorization, signature = signed(buyer)
    assert eip3009.signer(authorization.digest(domain()), signature) == buyer.account.address


def test_v_may_be_0_or_1():
    buyer = Buyer()
    authorization, signature = signed(buyer)
    other = "0x" + (signature[:64] + bytes([signature[64] - 27])).hex()
    assert eip3009.read_signature(other) == signature
    assert eip3009.signer(authorization.digest(domain()), signature) == buyer.account.address


def test_a_high_s_is_nobodys():
    """The token refuses it, and it would be a second spelling of one signature."""
    authorization, signature = signed(Buyer())
    s = int.from_bytes(signature[32:64])
    flipped = signature[:32] + (ORDER - s).to_bytes(32) + bytes([55 - signature[64]])
    assert eip3009.signer(authorization.digest(domain()), flipped) is None


@pytest.mark.parametrize("other", [b"", b"\x01" * 64, b"\x00" * 65, b"\xff" * 65, b"\x01" * 66])
def test_noise_is_nobodys(other):
    assert eip3009.signer(b"\x01" * 32, other) is None


@pytest.mark.parametrize("change", ["value", "to", "nonce", "validBefore", "validAfter", "from"])
def test_every_field_is_signed(change):
    buyer = Buyer()
    fields = buyer.authorize(OFFER)
    signature = eip3009.read_signature(buyer.sign(fields, OFFER))
    fields[change] = {
        "value": "9999",
        "to": OFFER["asset"],
        "from": OFFER["asset"],
        "nonce": "0x" + "00" * 32,
        "validBefore": "1",
        "validAfter": "1",
    }[change]
    changed = TransferAuthorization.read(fields)
    assert eip3009.signer(changed.digest(domain()), signature) != buyer.account.address


def test_reading_and_writing_are_one_spelling():
    fields = Buyer().authorize(OFFER)
    shouted = {key: "0x" + v[2:].upper() if v[:2] == "0x" else "0" + v for key, v in fields.items()}
    assert TransferAuthorization.read(shouted) == TransferAuthorization.read(fields)
    assert TransferAuthorization.read(shouted).json() == {
        **fields,
        "nonce": fields["nonce"].lower(),
    }


@pytest.mark.parametrize("name", ["from", "to", "value", "validAfter", "validBefore", "nonce"])
def test_every_field_is_needed(name):
    fields = Buyer().authorize(OFFER)
    del fields[name]
    with pytest.raises(ValueError):
        TransferAuthorization.read(fields)
