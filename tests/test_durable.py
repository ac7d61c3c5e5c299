"""What the ledger wrote survives whatever the site does around it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sqlite3
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from paywall import durable, ledger, signals
from paywall.catalog import offers
from paywall.decorators import payment_required
from paywall.exceptions import LedgerUnavailable
from paywall.ledger import claims, payments
from paywall.models import Payment
from paywall.models.payments import State
from paywall.testing import Buyer, encode
from tests.doubles import TX, Answer, failure, success
from tests.helpers import BLOCK, at_once, claim
from tests.shop import views
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def deferred(transactional_db, monkeypatch):
    """SQLite as sites have it who did not read the docs: an outer transaction takes no write lock
    before it writes. (With IMMEDIATE it does, and nothing can be sold inside of it.)"""
    ours = connections["default"]
    if ours.vendor == "sqlite":
        monkeypatch.setitem(ours.settings_dict["OPTIONS"], "transaction_mode", "DEFERRED")
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
    monkeypatch.setattr(durable, "OTHERS_WRITE_FOR", 0.2)
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
    monkeypatch.setattr(durable, "_in_transaction", _raises(OperationalError("gone")))
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

    real = payments.record
    failures: list[int] = []

    def sometimes(*args: Any, **kwargs: Any) -> None:
        if len(failures) < 3:
            failures.append(1)
            raise OperationalError("irgendein Text") from _sqlite_error(5)
        real(*args, **kwargs)

    paying = buyer.pays(call())
    monkeypatch.setattr(payments, "record", sometimes)
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


# ------------------------------------------------------------------------- Tried once more


def passing(code: int = 5) -> OperationalError:
    error = OperationalError("besetzt")
    error.__cause__ = _sqlite_error(code)
    return error


def fails_once(monkeypatch: Any, place: Any, name: str, error: BaseException) -> list[int]:
    """Have a function fail the first time, after it has done its work."""
    real, calls = getattr(place, name), []

    def once(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        calls.append(1)
        if len(calls) == 1:
            raise error
        return found

    monkeypatch.setattr(place, name, once)
    return calls


MOVES = {
    "settling": lambda p: ledger.settling([p], 60, "default"),
    "settled": lambda p: ledger.settled([p], TX),
    "failed": lambda p: ledger.failed(p, "abandoned"),
    "lost": lambda p: ledger.lost(p, "nothing_moved"),
    "taken back": lambda p: ledger.taken_back(p, State.SETTLING, "gone"),
    "failed after it was taken back": lambda p: ledger.failed(p, "never_settled"),
    "delivered": ledger.delivered,
    "confirmed": lambda p: ledger.confirmed([([p], BLOCK)]),
}
PATHS = {
    "settling": [],
    "settled": ["settling"],
    "failed": ["settling"],
    "lost": ["settling", "settled"],
    "taken back": ["settling", "settled"],
    "failed after it was taken back": ["settling", "settled", "taken back"],
    "delivered": ["settling", "settled"],
    "confirmed": ["settling", "settled"],
}


@pytest.mark.parametrize("name", MOVES)
def test_a_move_that_is_tried_again_is_what_it_would_have_been(item, monkeypatch, name):
    """The first try's transaction is rolled back, and with it what it did to the object."""
    outcomes = []
    for number, fails in enumerate((False, True)):
        payment, _ = claim(item, f"{name} {number}")
        for earlier in PATHS[name]:
            MOVES[earlier](payment)
        with monkeypatch.context() as patch:
            calls = fails_once(patch, payments, "record", passing()) if fails else [1, 1]
            MOVES[name](payment)
        row = Payment.objects.get(pk=payment.pk)
        assert (row.state, row.delivered_at) == (payment.state, payment.delivered_at)
        kinds = list(row.events.order_by("pk").values_list("kind", flat=True))
        outcomes.append((row.state, kinds, len(calls) > 1 or name == "delivered"))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", MOVES)
def test_a_move_that_fails_for_good_leaves_the_object_as_it_was(item, monkeypatch, name):
    payment, _ = claim(item)
    for earlier in PATHS[name]:
        MOVES[earlier](payment)
    before = {k: v for k, v in vars(payment).items() if k != "_state"}
    with monkeypatch.context() as patch:
        broken = _raises(OperationalError("gone"))
        patch.setattr(payments, "record", broken)
        patch.setattr(durable, "insert", broken)
        patch.setattr(ledger.receipts, "issue", broken)
        patch.setattr(durable, "change", broken)
        with pytest.raises(LedgerUnavailable):
            MOVES[name](payment)
    assert {k: v for k, v in vars(payment).items() if k != "_state"} == before


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (passing(5), True),
        (passing(5 | 2 << 8), True),
        (passing(6 | 1 << 8), True),
        (passing(1), False),
        (OperationalError("database is locked"), False),
    ],
)
def test_what_passes_is_known_by_its_code_and_not_by_its_words(error, expected):
    assert durable.is_passing(error) is expected


@pytest.mark.parametrize(
    ("state", "expected"), [("40001", True), ("40P01", True), ("23505", False)]
)
def test_postgresqls_own_codes(state, expected):
    class Theirs(Exception):
        sqlstate = state

    error = OperationalError("kann nicht serialisiert werden")
    error.__cause__ = Theirs()
    assert durable.is_passing(error) is expected


def test_a_claim_is_one_statement_and_no_transaction_around_it(item):
    offers.load(item.slug)
    with CaptureQueriesContext(connection) as asked:
        payment, is_new = claim(item, "alone")
    words = [query["sql"].split()[0] for query in asked if "paywall_payment" in query["sql"]]
    assert (words, is_new) == (["INSERT"], True)
    assert not {"BEGIN", "COMMIT"} & {query["sql"].split()[0] for query in asked}
    assert Payment.objects.get().pk == payment.pk
    assert claim(item, "alone") == (payment, False), "and it is the lock all the same"


def test_one_statement_that_fails_leaves_the_object_as_it_was(item, monkeypatch):
    payment, _ = claim(item, "one")
    again = Payment(**{f.attname: getattr(payment, f.attname) for f in Payment._meta.fields})
    again.pk, again._state.adding = None, True
    with pytest.raises(LedgerUnavailable):
        claims._insert_alone(again)
    assert again.pk is None
    assert again._state.adding
    assert Payment.objects.count() == 1


def test_one_statement_outlives_a_transaction_of_the_site(deferred, item):
    with contextlib.suppress(RollsBack), transaction.atomic():
        payment, _ = claim(item, "kept")
        ledger.let_go(payment, due_in=60)
        raise RollsBack
    assert Payment.objects.get().due_at > timezone.now() + timedelta(seconds=50)


def test_what_a_receiver_writes_durably_is_whole_or_not_there(item):
    """It runs on commit: what it writes is a transaction of its own, not none at all."""

    @durable.write
    def half() -> None:
        Group.objects.create(name="half")
        raise RuntimeError("the receiver broke")

    def receive(**_: Any) -> None:
        half()

    signals.payment_settled.connect(receive)
    try:
        payment, _ = claim(item)
        ledger.settling([payment], 60, "default")
        ledger.settled([payment], TX)
    finally:
        signals.payment_settled.disconnect(receive)
    assert not Group.objects.filter(name="half").exists()
    assert Payment.objects.get().state == State.SETTLED


def test_a_site_that_fails_on_commit_undoes_nothing_of_the_ledger(item):
    from django.db.models.signals import post_save

    def receive(**_: Any) -> None:
        transaction.on_commit(_raises(RuntimeError("the site broke")))

    post_save.connect(receive, sender=Group)

    @durable.write
    def write(payment: Payment) -> None:
        Group.objects.create(name="whole")
        durable.set_fields(payment, url="moved")

    payment, _ = claim(item)
    try:
        write(payment)
    finally:
        post_save.disconnect(receive, sender=Group)
    assert payment.url == "moved"
    assert Group.objects.filter(name="whole").exists()


# -------------------------------------------------------------- Nobody's failure ends a worker


def test_paywall_run_goes_on_whatever_fails(db, monkeypatch, caplog):
    from paywall.management.commands import paywall_run

    done: list[str] = []
    rounds = [
        ("busy", _raises(LedgerUnavailable("database is locked")), 0.01),
        ("mail", _raises(RuntimeError("a mail backend's own")), 0.01),
        ("good", lambda: done.append("good") or Counter(), 0.01),
    ]
    monkeypatch.setattr(paywall_run, "ROUNDS", rounds)
    monkeypatch.setattr(paywall_run.signal, "signal", lambda *_: None)

    class Stop:
        def is_set(self) -> bool:
            return len(done) >= 3

        def wait(self, seconds: float) -> None: ...

    monkeypatch.setattr(paywall_run.threading, "Event", Stop)
    call_command("paywall_run")
    assert len(done) >= 3
    assert "The round “busy” failed" in caplog.text
    assert "The round “mail” failed" in caplog.text


def test_celery_tries_a_busy_database_again():
    from paywall import tasks

    assert LedgerUnavailable in tasks.ROUND["autoretry_for"]


def test_a_mail_backends_own_exception_ends_no_alerts(item, settings, monkeypatch):
    from paywall.models import AlertMessage
    from paywall.reports import alerts

    class TheirError(Exception): ...

    settings.PAYWALL = {**settings.PAYWALL, "ALERT_EMAILS": ["a@example.com", "b@example.com"]}
    sent: list[str] = []

    def send(subject: str, text: str, sender: Any, to: list[str]) -> None:
        if to == ["a@example.com"]:
            raise TheirError("quota")
        sent.extend(to)

    monkeypatch.setattr(alerts, "send_mail", send)
    monkeypatch.setattr(alerts, "_SOURCES", (_raises(RuntimeError("one source")),))
    alerts._SOURCES[0].__name__ = "broken"
    alerts.test()
    assert alerts.tell() == {"failed": 1, "sent": 1}
    assert sent == ["b@example.com"]
    assert "TheirError" in AlertMessage.objects.get(to="a@example.com").trouble


def test_threads_that_send_survive_a_fork():
    from paywall import effects

    if not hasattr(os, "fork"):
        return
    before = effects._senders()
    assert before.submit(int, "1").result() == 1
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if effects._senders().submit(int, "2").result(timeout=5) == 2 else 1)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert effects._senders() is before


@pytest.mark.parametrize("kind", ["free", "paid"])
def test_who_hangs_up_in_the_view_keeps_nothing_from_anybody(item, buyer, facilitator, kind):
    """A free request is given back; a claim is let go, so that the buyer may come again at once."""
    from paywall.models import Audience, FreeUse, Price

    if kind == "free":
        everyone = Audience.objects.create(name="All", kind="everyone")
        terms = {"free_uses": 1, "free_per": "all", "free_every": "ever", "amount": 0}
        Price.objects.create(resource=item, audience=everyone, **terms)
    entered = asyncio.Event()

    @payment_required("item")
    async def slow(request: HttpRequest) -> HttpResponse:
        entered.set()
        await asyncio.sleep(10)
        return HttpResponse("never")

    factory = RequestFactory()
    headers = buyer.pays(call("/async-item/")) if kind == "paid" else {}
    if kind == "paid":
        headers = {"PAYMENT-SIGNATURE": encode(for_url(headers, "http://testserver/slow/"))}

    async def hang_up() -> None:
        task = asyncio.ensure_future(slow(factory.get("/slow/", headers=headers)))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(hang_up())
    if kind == "free":
        assert FreeUse.objects.get().used == 0
    else:
        payment = Payment.objects.get()
        assert (payment.state, payment.delivered_at) == (State.CLAIMED, None)
        assert payment.held_until <= timezone.now()
    assert facilitator.requests == []


def for_url(headers: dict[str, str], url: str) -> dict[str, Any]:
    payload = json.loads(base64.b64decode(headers["PAYMENT-SIGNATURE"]))
    payload["resource"]["url"] = url
    return dict(payload)


def test_postgresql_serializable_is_tried_again(item, facilitator):
    """Every buyer is served, although the database gives up some of their transactions."""
    if connection.vendor != "postgresql":
        return
    settings_dict = connections["default"].settings_dict
    options = settings_dict["OPTIONS"]
    level = psycopg.IsolationLevel.SERIALIZABLE
    settings_dict["OPTIONS"] = {**options, "isolation_level": level}
    statuses: list[int] = []
    challenge = call()

    def buys() -> None:
        try:
            statuses.append(call(headers=Buyer().pays(challenge)).status_code)
        finally:
            connections["default"].close()

    try:
        at_once([buys] * 12)
    finally:
        settings_dict["OPTIONS"] = options
    assert statuses == [200] * 12


def test_a_pool_of_one_inside_an_outer_transaction_waits_for_nobody(
    item, buyer, facilitator, monkeypatch
):
    """The ledger's second connection comes from outside the pool."""
    if connection.vendor != "postgresql":
        return
    ours = connections["default"]
    paying = buyer.pays(call())
    taken: list[dict[str, Any]] = []
    real = type(ours).get_connection_params

    def watch(self: Any) -> Any:
        taken.append(dict(self.settings_dict["OPTIONS"]))
        return real(self)

    monkeypatch.setattr(type(ours), "get_connection_params", watch)
    pool = {"min_size": 1, "max_size": 1, "timeout": 1}
    monkeypatch.setitem(ours.settings_dict["OPTIONS"], "pool", pool)
    durable._elsewhere(lambda: None)
    assert taken
    assert all("pool" not in options for options in taken)
    assert paying
