from __future__ import annotations

from decimal import Decimal

import pytest

from paywall.money import money


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("1", "1.00"),
        ("0.1", "0.10"),
        ("0.01000000", "0.01"),
        ("0.001", "0.001"),
        ("1000", "1000.00"),
        ("1E+3", "1000.00"),
        ("12.5", "12.50"),
    ],
)
def test_money_reads_as_money(amount, written):
    assert money(Decimal(amount)) == written
