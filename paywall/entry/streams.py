"""Responses that are charged as they go out.

Where the money is taken before anything leaves, a stream is read to its end first: only then is it
known what it cost. On credit it goes out as it is made, and what it has come to is written down
while it does: a process that dies loses a second of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, sync_to_async
from django.utils import timezone

from paywall import conf, crashpoints
from paywall.effects import call
from paywall.exceptions import LedgerUnavailable, StaleMove
from paywall.ledger import usage as ledger_usage
from paywall.settlement import settle_hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import StreamingHttpResponse

    from paywall.effects import Steps
    from paywall.models import Payment

    from .usage import Usage

log = logging.getLogger(__name__)

WRITTEN_EVERY = 1.0
"""Seconds after which what a stream has come to is written down once more."""


def read_whole(response: StreamingHttpResponse) -> Steps[None]:
    """Have a stream made to its end, and kept. Raises what the view's own code raises."""
    parts: Any = response.streaming_content

    async def aread() -> list[bytes]:
        return [part async for part in parts]

    def read() -> Any:
        if _is_on_a_loop():
            return aread() if response.is_async else sync_to_async(lambda: list(parts))()
        return async_to_sync(aread)() if response.is_async else list(parts)

    whole: list[bytes] = yield from call(read)

    async def again() -> AsyncIterator[bytes]:
        for part in whole:
            yield part

    response.streaming_content = again() if response.is_async else whole


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def hold_for() -> float:
    """Seconds for which a stream keeps its payment after it was last heard of."""
    return max(conf.get().view_timeout, 10 * WRITTEN_EVERY)


def count(response: StreamingHttpResponse, payment: Payment, usage: Usage) -> None:
    """Have a response counted as it goes out."""
    kind = _AsyncCounted if response.is_async else _Counted
    response.streaming_content = kind(response.streaming_content, payment, usage)


class _Count:
    """One stream on credit: what it has come to, and until when it may go on."""

    def __init__(self, parts: Any, payment: Payment, usage: Usage) -> None:
        self._parts, self._payment, self._usage = parts, payment, usage
        self._decimals = payment.taken_offer.decimals
        self._written = time.monotonic()
        self._is_ended = False
        self._ends = float("inf")
        if payment.expires_at is not None:
            left = (payment.expires_at - timezone.now()).total_seconds()
            self._ends = self._written + left - settle_hold()

    @property
    def _units(self) -> int:
        return self._usage.units(self._decimals)

    def _is_over(self) -> bool:
        """Whether what the buyer signed would not be good any more when it is settled."""
        over = time.monotonic() > self._ends
        if over:
            log.warning("payment=%s: its stream is cut, its time is over", self._payment.pk)
        return over

    def _is_to_be_written(self) -> bool:
        return time.monotonic() - self._written >= WRITTEN_EVERY

    def _write(self) -> None:
        """Raises `StaleMove`, `LedgerUnavailable`: then nothing more may go out."""
        ledger_usage.counted(self._payment, self._units, hold_for())
        self._written = time.monotonic()
        crashpoints.reach("stream: counted")

    def _end(self) -> None:
        """It has gone out, or its buyer has gone."""
        if self._is_ended:
            return
        self._is_ended = True
        try:
            ledger_usage.ended(self._payment, self._units)
        except (StaleMove, LedgerUnavailable) as error:
            # What was written last is taken, by whoever takes it over.
            log.warning("payment=%s: its stream ended: %s", self._payment.pk, error)

    def close(self) -> None:
        """The server is done with it, whether or not all of it went out."""
        self._end()
        if hasattr(self._parts, "close"):
            self._parts.close()


class _Counted(_Count):
    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if self._is_to_be_written():
                self._write()
            yield part
            if self._is_over():
                return


class _AsyncCounted(_Count):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._parts:
                if self._is_to_be_written():
                    await sync_to_async(self._write, thread_sensitive=True)()
                yield part
                if self._is_over():
                    break
        finally:
            await sync_to_async(self._end, thread_sensitive=True)()
