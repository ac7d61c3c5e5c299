"""What the ledger wrote survives whatever the site does around it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from paywall import database
from paywall.decorators import payment_required
from paywall.models import Payment
from paywall.models.payments import State
from tests.doubles import Answer, failure, success
from tests.shop import views
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def deferred(transactional_db, monkeypatch):
    """SQLite as sites have it who did not read the docs: an outer transaction takes no write lock
    before it writes. (With IMMEDIATE it does, and nothing can be sold inside of it.)"""
    ours = connections["default"]
    if ours.vendor == "sqlite":
        ours.ensure_connection()
        monkeypatch.setattr(ours, "transaction_mode", "DEFERRED")


@pytest.fixture
def atomic_requests():
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    yield
    connection.settings_dict["ATOMIC_REQUESTS"] = False


@pytest.fixture
def in_transaction_while_asked(facilitator):
    """Whether the site's connection was in a transaction while the facilitator was asked."""
    seen: list[bool] = []
    ours = connections["default"]
    facilitator.settle = Answer(
        body=success().body, before=lambda _: seen.append(ours.in_atomic_block)
    )
    return seen


def call(path: str = "/item/", **kwargs: Any) -> Any:
    return Client(raise_request_exception=False).get(path, **kwargs)


def test_atomic_requests_and_a_sale(item, buyer, atomic_requests, in_transaction_while_asked):
    paying = buyer.pays(call("/writing/"))
    assert call("/writing/", headers=paying).status_code == 200
    assert Payment.objects.get().state == State.SETTLED
    assert Group.objects.filter(name="made by the view").exists()
    assert in_transaction_while_asked == [False]


def test_atomic_requests_and_a_view_that_raises(item, buyer, atomic_requests, facilitator):
    """The view's own writes are rolled back, as Django would; the payment's are not."""
    path = "/writing/?raise=1"
    assert call(path, headers=buyer.pays(call(path))).status_code == 500
    assert not Group.objects.filter(name="made by the view").exists()
    assert Payment.objects.get().state == State.FAILED


def test_atomic_requests_before_and_a_view_that_raises(
    make_resource, buyer, atomic_requests, facilitator
):
    make_resource(policy="before")
    path = "/writing/?raise=1"
    assert call(path, headers=buyer.pays(call(path))).status_code == 500
    assert not Group.objects.filter(name="made by the view").exists()
    assert Payment.objects.get().state == State.SETTLED


class RollsBack(Exception):
    pass


def in_a_transaction_that_rolls_back(view, request):
    """A view called by a site that wraps it in a transaction and changes its mind."""
    responses = []
    with pytest.raises(RollsBack), transaction.atomic():
        responses.append(view(request))
        raise RollsBack
    return responses[0]


@pytest.mark.parametrize(
    ("answer", "state", "status"),
    [
        (success(), State.SETTLED, 200),
        (failure("insufficient_funds"), State.FAILED, 402),
        (Answer(die=True), State.SETTLING, 503),
    ],
)
def test_an_outer_transaction(deferred, item, buyer, facilitator, answer, state, status):
    facilitator.settle = answer
    factory = RequestFactory()
    paying = buyer.pays(call())
    response = in_a_transaction_that_rolls_back(views.item, factory.get("/item/", headers=paying))
    assert response.status_code == status
    payment = Payment.objects.get()
    assert payment.state == state
    assert payment.events.exists()
    again = views.item(factory.get("/item/", headers=paying))
    if state == State.SETTLED:
        assert json.loads(again.content)["code"] == "payment_already_used"
    assert CALLS["item"] <= 1


def test_an_outer_transaction_around_an_async_view(deferred, item, buyer, facilitator):
    paying = buyer.pays(call("/async-item/"))
    request = RequestFactory().get("/async-item/", headers=paying)

    def enter() -> None:
        transaction.set_autocommit(False)

    def leave() -> None:
        transaction.rollback()
        transaction.set_autocommit(True)

    async def site() -> HttpResponse:
        await sync_to_async(enter)()
        try:
            return await views.async_item(request)
        finally:
            await sync_to_async(leave)()

    assert asyncio.run(site()).status_code == 200
    assert Payment.objects.get().state == State.SETTLED


def test_an_outer_transaction_that_holds_sqlites_lock_fails_fast(
    item, buyer, facilitator, monkeypatch
):
    if connection.vendor != "sqlite":
        return
    monkeypatch.setattr(database, "OTHERS_WRITE_FOR", 0.2)
    paying = buyer.pays(call())
    started = time.monotonic()
    with transaction.atomic():
        response = views.item(RequestFactory().get("/item/", headers=paying))
    assert (response.status_code, time.monotonic() - started < 5) == (503, True)
    assert facilitator.requests == []
    assert CALLS["item"] == 0


def test_a_site_without_autocommit(deferred, item, buyer, facilitator):
    paying = buyer.pays(call())
    transaction.set_autocommit(False)
    try:
        assert views.item(RequestFactory().get("/item/", headers=paying)).status_code == 200
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert Payment.objects.get().state == State.SETTLED


class ReadsElsewhere:
    """A router as sites with replicas have it; this replica has fallen far behind."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        if model._meta.app_label == "paywall":
            raise AssertionError("the ledger read from a replica")
        return None


def test_a_router_that_reads_from_replicas(item, buyer, facilitator, settings, monkeypatch):
    from django.db import router

    paying = buyer.pays(call())
    monkeypatch.setattr(router, "routers", [ReadsElsewhere()])
    response = call(headers=paying)
    assert response.status_code == 200
    assert json.loads(call(headers=paying).content)["code"] == "payment_already_used"


def test_a_database_that_is_gone_sells_nothing(item, buyer, facilitator, monkeypatch, caplog):
    from django.db import OperationalError

    paying = buyer.pays(call())
    monkeypatch.setattr(database, "_in_transaction", _raises(OperationalError("gone")))
    response = call(headers=paying)
    assert response.status_code == 503
    assert json.loads(response.content)["code"] == "paywall_unavailable"
    assert "Retry-After" in response.headers
    assert CALLS["item"] == 0
    assert facilitator.requests == []


def test_a_database_that_goes_after_the_money_moved(item, buyer, facilitator, monkeypatch, caplog):
    """The outcome cannot be written: the buyer is asked for patience, not for money."""
    from django.db import InterfaceError

    from paywall import ledger

    paying = buyer.pays(call())
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "settled", _raises(InterfaceError("connection already closed")))
        response = call(headers=paying)
    assert response.status_code == 503
    assert json.loads(response.content)["code"] == "settlement_pending"
    payment = Payment.objects.get()
    assert payment.state == State.SETTLING
    assert f"payment={payment.pk}" in caplog.text


def _sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("in whatever language")
    error.sqlite_errorcode = code
    return error


def test_a_locked_sqlite_is_waited_for(item, buyer, facilitator, monkeypatch):
    from django.db import OperationalError

    from paywall import ledger

    real = ledger._record
    failures: list[int] = []

    def sometimes(*args: Any, **kwargs: Any) -> None:
        if len(failures) < 3:
            failures.append(1)
            raise OperationalError("irgendein Text") from _sqlite_error(5)
        real(*args, **kwargs)

    paying = buyer.pays(call())
    monkeypatch.setattr(ledger, "_record", sometimes)
    assert call(headers=paying).status_code == 200
    assert len(failures) == 3


def test_a_buyer_who_hangs_up_can_collect(item, buyer, facilitator, paywall_settings):
    """On an event loop, Django cancels the view while the facilitator is being asked."""
    facilitator.settle = Answer(body=success().body, hang=0.6)
    paying = buyer.pays(call("/async-item/"))
    request = RequestFactory().get("/async-item/", headers=paying)

    async def hang_up() -> None:
        await asyncio.wait_for(views.async_item(request), 0.3)

    with pytest.raises(TimeoutError):
        asyncio.run(hang_up())
    payment = Payment.objects.get()
    # The answer was waited for and written down; nothing was delivered, so it can be collected.
    assert (payment.state, payment.delivered_at) == (State.SETTLED, None)
    assert len(facilitator.asked("/settle")) == 1
    assert call("/async-item/", headers=paying).status_code == 200
    assert len(facilitator.asked("/settle")) == 1
    assert Payment.objects.get().delivered_at is not None


@payment_required("item")
def _plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("in")


def test_no_transaction_is_open_while_the_facilitator_is_asked(
    item, buyer, in_transaction_while_asked
):
    request = RequestFactory().get("/item/", headers=buyer.pays(call()))
    assert _plain(request).status_code == 200
    assert in_transaction_while_asked == [False]


def _raises(error: Exception) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise error

    return function
