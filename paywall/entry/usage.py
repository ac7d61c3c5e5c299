"""What a request used, where the price is the most that it may cost.

    def complete(request):
        answer = model.ask(request.body)
        request.paywall.charge(answer.tokens * Decimal("0.0001"))
        return JsonResponse(...)

A view has it as `request.paywall`, also where nothing is taken: who has a pass, a free quota or
pays a fixed price is counted for nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from decimal import ROUND_DOWN, Decimal
from typing import Any, TypeVar, overload

T = TypeVar("T")

Amount = Decimal | int | str
Each = Amount | Callable[[T], Amount]
"""What a part of a stream costs: the same for each, or by the part."""


FIXED = Decimal("Infinity")


class Usage:
    """What one request has used so far."""

    __slots__ = ("charged", "currency", "is_told", "most")

    def __init__(self, most: Decimal = FIXED, currency: str = "") -> None:
        self.most, self.currency = most, currency
        """What it may cost; infinite, in no currency, where a request has a fixed price."""
        self.charged = Decimal(0)
        """So much was used, whether or not so much can be taken."""
        self.is_told = False
        """Whether the view has said what was used, be it nothing."""

    @property
    def left(self) -> Decimal:
        """How much more the request may use, in the currency of the price."""
        return max(self.most - self.charged, Decimal(0))

    def charge(self, amount: Amount) -> Decimal:
        """So much more was used, in the currency of the price: "0.0123". Returns what is left.

        Never more than the most is taken: look at `left` before what is dear to do. Raises
        `TypeError` for a float, `ValueError` for what is no amount or less than zero.
        """
        more = _amount(amount)
        self.is_told = True
        self.charged += more
        return self.left

    @overload
    def meter(self, parts: Iterable[T], each: Each[T]) -> Iterator[T]: ...
    @overload
    def meter(self, parts: AsyncIterable[T], each: Each[T]) -> AsyncIterator[T]: ...
    def meter(self, parts: Any, each: Each[Any]) -> Any:
        """The parts of a stream, each charged as it goes out: `each` is what one costs, or a
        function of the part that says it. The stream ends before the part that cannot be paid any
        more."""
        price = each if callable(each) else _always(_amount(each))
        self.is_told = True
        return (
            self._ameter(parts, price) if hasattr(parts, "__aiter__") else self._meter(parts, price)
        )

    def _meter(self, parts: Iterable[T], price: Callable[[T], Amount]) -> Iterator[T]:
        for part in parts:
            if not self._covers(price(part)):
                return
            yield part

    async def _ameter(
        self, parts: AsyncIterable[T], price: Callable[[T], Amount]
    ) -> AsyncIterator[T]:
        async for part in parts:
            if not self._covers(price(part)):
                return
            yield part

    def _covers(self, amount: Amount) -> bool:
        """Charge it, if so much is left."""
        more = _amount(amount)
        if more > self.left:
            return False
        self.charged += more
        return True

    def units(self, decimals: int) -> int:
        """What was used, in atomic units of a token with so many decimals: a part of one is the
        buyer's."""
        return int(self.charged.scaleb(decimals).to_integral_value(ROUND_DOWN))


def _amount(amount: Amount) -> Decimal:
    if isinstance(amount, float | bool) or not isinstance(amount, Decimal | int | str):
        raise TypeError(f"An amount is a string or Decimal, not {type(amount).__name__}.")
    try:
        found = Decimal(amount)
    except ArithmeticError as error:
        raise ValueError(f"{amount!r} is no amount.") from error
    if not found.is_finite() or found < 0:
        raise ValueError(f"{amount!r} is no amount: zero or more.")
    return found


def _always(amount: Decimal) -> Callable[[Any], Amount]:
    return lambda _: amount
