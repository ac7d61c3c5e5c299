"""Amounts of a currency, as prices have them: `Decimal`, in the owner's currency."""

from __future__ import annotations

from decimal import Decimal

MOST = 100_000_000
"""A price's highest amount: what sums by day can hold some hundred times."""


def money(amount: Decimal) -> str:
    """An amount of a currency for people: two decimals at least, more where it has them."""
    plain = f"{amount.normalize():f}"
    whole, _, fraction = plain.partition(".")
    return f"{whole}.{fraction:0<2}"


def of_token(units: int, decimals: int, symbol: str) -> str:
    """An amount in atomic units of a token, for people."""
    return f"{Decimal(units).scaleb(-decimals).normalize():f} {symbol}"


def shortened(text: str) -> str:
    """A long name (a wallet, a transaction) for people, who know it by its ends."""
    return f"{text[:6]}…{text[-4:]}" if len(text) > 12 else text
