"""Server-sent events by the frameworks: sold, metered, and cancelled, on an event loop and in a
thread."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.views import APIView

from paywall.contrib.ninja import NinjaAPI, payment_required
from paywall.contrib.rest_framework import payment_required as sold_action
from paywall.models import Payment
from paywall.models.payments import State
from paywall.settlement import worker

pytestmark = [pytest.mark.django_db, pytest.mark.urlconf("tests.contrib.test_streams")]

SSE = "text/event-stream"
api = NinjaAPI(urls_namespace="streams")
made: list[int] = []
closed: list[str] = []


def events(number: int = 5) -> Any:
    try:
        for each in range(number):
            made.append(each)
            yield f"data: {each}\n\n".encode()
    finally:
        closed.append("sync")


async def aevents(number: int = 5) -> Any:
    try:
        for each in range(number):
            await asyncio.sleep(0.005)
            made.append(each)
            yield f"data: {each}\n\n".encode()
    finally:
        closed.append("async")


@api.get("/fixed")
@payment_required("item")
async def fixed(request):
    return StreamingHttpResponse(aevents(), content_type=SSE)


@api.get("/metered")
@payment_required("metered")
async def metered(request):
    counted = request.paywall.meter(aevents(), each="0.01")
    return StreamingHttpResponse(counted, content_type=SSE)


class Events(APIView):  # type: ignore[misc,unused-ignore]
    permission_classes: ClassVar[list[Any]] = []

    @sold_action("metered")
    def get(self, request):
        counted = request._request.paywall.meter(events(), each="0.01")
        return StreamingHttpResponse(counted, content_type=SSE)


class Fixed(APIView):  # type: ignore[misc,unused-ignore]
    permission_classes: ClassVar[list[Any]] = []

    @sold_action("item")
    def get(self, request):
        return StreamingHttpResponse(events(), content_type=SSE)


urlpatterns = [
    path("api/", api.urls),
    path("drf/metered/", Events.as_view()),
    path("drf/fixed/", Fixed.as_view()),
]

WHOLE = b"".join(f"data: {n}\n\n".encode() for n in range(5))


@pytest.fixture(autouse=True)
def _nothing_made():
    made.clear()
    closed.clear()


@pytest.fixture
def on_credit(make_resource, paywall_settings):
    paywall_settings(CREDIT_AFTER=0, BALANCE_CHECK=False)
    return make_resource("metered", "0.05", by_use=True, policy="background")


def get(where: str, buyer):
    """Paid, by a client of the kind that the view is."""
    client = AsyncClient() if where.startswith("/api/") else Client()
    ask = async_to_sync(client.get) if isinstance(client, AsyncClient) else client.get
    return ask(where, headers=buyer.pays(ask(where)))


def read(response, most: int = 99) -> bytes:
    """So many parts of it; then its reader hangs up."""

    async def some() -> bytes:
        """As a server sends it: who hangs up cancels the task that does."""
        found: list[bytes] = []

        async def send() -> None:
            async for part in response.streaming_content:
                found.append(part)  # noqa: PERF401 - one at a time, as it is sent

        sending = asyncio.create_task(send())
        while not sending.done() and len(found) < most:
            await asyncio.sleep(0.001)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        return b"".join(found)

    if response.is_async:
        return async_to_sync(some)()
    parts, found = iter(response.streaming_content), []
    for part in parts:
        found.append(part)
        if len(found) == most:
            break
    response._iterator.close()
    return b"".join(found)


@pytest.mark.parametrize("where", ["/api/fixed", "/drf/fixed/"])
def test_a_stream_at_a_fixed_price(item, buyer, facilitator, where):
    response = get(where, buyer)
    assert (response.status_code, response.headers["Content-Type"]) == (200, SSE)
    payment = Payment.objects.get()
    assert (payment.state, payment.captured) == (State.SETTLED, "10000")
    assert made == [], "it leaves as it is made"
    assert read(response) == WHOLE


@pytest.mark.parametrize("where", ["/api/metered", "/drf/metered/"])
def test_a_metered_one_is_paid_for_what_it_used(make_resource, buyer, facilitator, where):
    make_resource("metered", "0.08", by_use=True)
    response = get(where, buyer)
    assert response.status_code == 200
    assert read(response) == WHOLE
    payment = Payment.objects.get()
    assert (payment.captured, payment.price) == ("50000", Decimal("0.05"))


@pytest.mark.parametrize("where", ["/api/metered", "/drf/metered/"])
def test_on_credit_it_leaves_as_it_is_made_and_who_hangs_up_pays_what_left(
    on_credit, buyer, facilitator, where
):
    response = get(where, buyer)
    assert made == []
    assert read(response, most=2) == b"data: 0\n\ndata: 1\n\n"
    assert Payment.objects.get().used == "20000"
    assert worker.settle() == {"settled": 1}
    assert Payment.objects.get().captured == "20000"
    assert made in ([0, 1], [0, 1, 2]), "the view was told that nobody reads any more"
    assert closed


@pytest.mark.parametrize("where", ["/api/metered", "/drf/metered/", "/api/fixed", "/drf/fixed/"])
def test_unpaid_nothing_of_it_is_made(item, on_credit, facilitator, where):
    asks = async_to_sync(AsyncClient().get) if where.startswith("/api/") else Client().get
    assert asks(where).status_code == 402
    assert made == []
