"""What the gate and the settlement ask to be done, and the two drivers that do it.

A rule about money is written once, as a generator that yields steps; `run` performs them in
a thread, `arun` on an event loop. Exceptions of a step are raised at its `yield`.

    def settle(payment) -> Steps[Settlement]:
        response = yield from send("POST", url, json=...)
        yield from query(ledger.settled, payment, response.json()["transaction"])
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar, cast

import httpx
from asgiref.sync import sync_to_async

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """Blocking work on the database: in Django's database thread when on an event loop."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """The site's own code: called where we are, awaited when on an event loop."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Send:
    """One HTTP request to a facilitator or a node, answered by its `httpx.Response`.

    Raises `httpx.HTTPError`. Redirects are not followed: a payment is not to be carried to
    a host that nobody configured.
    """

    method: str
    url: str
    timeout: httpx.Timeout
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for some seconds: a block takes its time."""

    seconds: float


Step = Query | Call | Send | Wait
Steps = Generator[Step, Any, T]


def query(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    """Have `function` run where blocking database work may be done."""
    return cast("T", (yield Query(partial(function, *args, **kwargs))))


def call(function: Callable[[], Any]) -> Steps[Any]:
    """Have the site's `function` called, and awaited on an event loop."""
    return (yield Call(function))


def send(step: Send) -> Steps[httpx.Response]:
    """Have an HTTP request sent."""
    return cast("httpx.Response", (yield step))


def wait(seconds: float) -> Steps[None]:
    """Have some time pass."""
    yield Wait(seconds)


def run(steps: Steps[T]) -> T:
    """Perform the steps here and now, blocking."""
    try:
        step = next(steps)
        while True:
            try:
                answer = _perform(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return cast("T", done.value)


def _perform(step: Step) -> Any:
    match step:
        case Send():
            return _send(step)
        case Wait():
            return time.sleep(step.seconds)
        case _:
            return step.run()


class Presence:
    """Whether somebody still waits for what the steps come to."""

    is_gone = False


async def arun(steps: Steps[T], presence: Presence | None = None) -> T:
    """Perform the steps on the running event loop.

    Who hangs up cancels the site's own code, and nothing else: a request to a facilitator or a
    query that is under way is waited for, its answer is worked on to the end, and only then is
    the cancellation raised. `presence` learns of it at once.
    """
    presence = presence or Presence()

    async def perform(step: Step) -> Any:
        match step:
            case Query():
                return await sync_to_async(step.run, thread_sensitive=True)()
            case Call():
                return await step.run()
            case Wait():
                return await asyncio.sleep(step.seconds)
            case Send():
                # In a thread, not by an async client: connections belong to an event loop, and
                # under WSGI every request of an async view has a loop of its own.
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(_senders(), _send, step)

    async def through_cancellation(step: Step) -> Any:
        task = asyncio.ensure_future(perform(step))
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                presence.is_gone = True
                if task.done():
                    raise

    try:
        step = next(steps)
        while True:
            try:
                if isinstance(step, Call):
                    answer = await perform(step)
                else:
                    answer = await through_cancellation(step)
            except BaseException as error:
                presence.is_gone |= isinstance(error, asyncio.CancelledError)
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        if presence.is_gone:
            raise asyncio.CancelledError from None
        return cast("T", done.value)


# Idle connections go before the usual servers (5 s and up) close them under a request: a reset
# there would leave a payment with an unknown outcome.
_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=4)
_lock = threading.Lock()
_clients: dict[int, httpx.Client] = {}

SENDERS = 64
"""As many settle calls can be waited for at once on an event loop."""


@cache
def _senders() -> ThreadPoolExecutor:
    """Threads to send in. They do not survive a fork: a child makes its own."""
    return ThreadPoolExecutor(max_workers=SENDERS, thread_name_prefix="paywall-http")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_senders.cache_clear)


def _send(step: Send) -> httpx.Response:
    return _client().request(
        step.method,
        step.url,
        json=step.json,
        headers=dict(step.headers),
        timeout=step.timeout,
    )


def _client() -> httpx.Client:
    """One connection pool a process; a forked child makes its own."""
    pid = os.getpid()
    client = _clients.get(pid)
    if client is None:
        with _lock:
            client = _clients.get(pid)
            if client is None:
                _clients.clear()
                client = _clients[pid] = httpx.Client(follow_redirects=False, limits=_LIMITS)
    return client
