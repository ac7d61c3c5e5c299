"""The two drivers do the same."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

from paywall.effects import Send, Steps, arun, call, query, run, send
from tests import doubles

TIMEOUT = httpx.Timeout(5)


def drive(kind: str, steps: Steps[Any]) -> Any:
    return run(steps) if kind == "sync" else asyncio.run(arun(steps))


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def test_answers_come_back_in_order(kind):
    def steps() -> Steps[list[int]]:
        first = yield from query(int, "1")
        second = yield from query(lambda: first + 1)
        return [first, second]

    assert drive(kind, steps()) == [1, 2]


def test_the_sites_code_is_called_or_awaited():
    def steps(function) -> Steps[Any]:
        return (yield from call(function))

    async def view() -> str:
        return "awaited"

    assert run(steps(lambda: "called")) == "called"
    assert asyncio.run(arun(steps(view))) == "awaited"


def test_errors_are_raised_where_the_step_stands(kind):
    def steps() -> Steps[str]:
        try:
            yield from query(int, "x")
        except ValueError:
            return (yield from query(str, "mended"))
        return "never"

    assert drive(kind, steps()) == "mended"


def test_errors_that_nobody_wanted_come_out(kind):
    def steps() -> Steps[None]:
        yield from query(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        drive(kind, steps())


def test_requests_are_sent(kind):
    def steps(url: str) -> Steps[httpx.Response]:
        body = {"paymentRequirements": {"network": "n"}}
        return (yield from send(Send("POST", f"{url}/verify", TIMEOUT, json=body)))

    with doubles.facilitator() as double:
        double.verify = doubles.Answer(body={"isValid": True})
        assert drive(kind, steps(double.url)).json() == {"isValid": True}


def test_a_query_on_an_event_loop_is_off_the_loops_thread():
    async def main() -> bool:
        def steps() -> Steps[int]:
            return (yield from query(threading.get_ident))

        return await arun(steps()) != threading.get_ident()

    assert asyncio.run(main())


def test_a_slow_facilitator_holds_up_nobody_else_on_the_loop():
    def slow(url: str) -> Steps[httpx.Response]:
        return (yield from send(Send("POST", f"{url}/verify", TIMEOUT, json={})))

    async def main(url: str) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(arun(slow(url)) for _ in range(20)))
        return loop.time() - started

    with doubles.facilitator() as double:
        double.verify = doubles.Answer(body={"isValid": True}, hang=0.3)
        assert asyncio.run(main(double.url)) < 20 * 0.3
