from __future__ import annotations

import pytest

from paywall.rails.evm import addresses

ADDRESS = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"


@pytest.mark.parametrize("spelling", [ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()])
def test_an_address_has_one_spelling(spelling):
    assert addresses.read_address(spelling) == ADDRESS


@pytest.mark.parametrize(
    "nonsense",
    [None, 5, "", "0x", ADDRESS[2:], ADDRESS + "0", ADDRESS[:-1] + "g", "0X" + ADDRESS[2:], b"0x"],
)
def test_what_is_no_address_is_refused(nonsense):
    with pytest.raises(ValueError):
        addresses.read_address(nonsense)


def test_a_checksum_is_recognised():
    assert addresses.is_checksummed(ADDRESS)
    assert not addresses.is_checksummed(ADDRESS.lower())


@pytest.mark.parametrize(
    ("digits", "number"), [("0", 0), ("10000", 10000), ("007", 7), (str(2**256 - 1), 2**256 - 1)]
)
def test_numbers_are_digits(digits, number):
    assert addresses.read_uint256(digits) == number


@pytest.mark.parametrize(
    "nonsense",
    [10000, 1.5, True, None, "", " 1", "1 ", "+1", "-1", "1e3", "1_000", "0x10", "١", "1\n"]
    + [str(2**256), "9" * 79],
)
def test_numbers_are_nothing_but_digits(nonsense):
    with pytest.raises(ValueError):
        addresses.read_uint256(nonsense)


def test_hex_is_lower_case_and_of_the_right_length():
    assert addresses.read_hash("0x" + "AB" * 32) == "0x" + "ab" * 32
    for nonsense in ["0x" + "ab" * 31, "ab" * 32, "0x" + "zz" * 32, None, 7]:
        with pytest.raises(ValueError):
            addresses.read_hash(nonsense)
    for nonsense in ["0xabc", "ab", "0x" + "00" * 11, None]:
        with pytest.raises(ValueError):
            addresses.read_bytes(nonsense, 10)


@pytest.mark.parametrize(
    ("value", "sane"),
    [
        ("0x" + "ab" * 32, True),
        ("0x" + "00" * 32, False),
        ("0x", False),
        ("junk", False),
        (None, False),
        (True, False),
    ],
)
def test_a_transaction_hash_is_recognised(value, sane):
    assert addresses.is_transaction_hash(value) is sane
