"""The front door says what the gate says, to whom it would say the same, and nothing else."""

from __future__ import annotations

import re
import resource
import string
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from paywall import front
from paywall.catalog import offers, pricing
from paywall.models import Meter, Resource
from tests.shop.views import CALLS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.matrix]

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


class Asked:
    """An application, and how often it was asked."""

    def __init__(self, kind: str) -> None:
        self.kind, self.times = kind, 0
        self.plain: Any = WSGIHandler() if kind == "wsgi" else ASGIHandler()
        make = front.wsgi if kind == "wsgi" else front.asgi
        self.front: Any = make(self._counting_wsgi if kind == "wsgi" else self._counting_asgi)

    def _counting_wsgi(self, environ: Any, start_response: Any) -> Any:
        self.times += 1
        return self.plain(environ, start_response)

    async def _counting_asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.times += 1
        await self.plain(scope, receive, send)

    def get(self, path: str = "/item/", method: str = "GET", **headers: str) -> Answer:
        return self._ask(self.front, path, method, headers)

    def direct(self, path: str = "/item/", method: str = "GET", **headers: str) -> Answer:
        return self._ask(self.plain, path, method, headers)

    def _ask(self, app: Any, path: str, method: str, headers: dict[str, str]) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.kind == "wsgi":
            return _wsgi(app, path, method, sent)
        return async_to_sync(_asgi)(app, path, method, sent)


class Answer:
    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = sorted((name.lower(), value) for name, value in headers)

    @property
    def same(self) -> Any:
        """Without what is another one each time: a page's nonce and its signed ticket."""
        told = (self.status, self.headers, self.body)
        text = re.sub(r"nonce-[\w-]{20,}|nonce=\\?\"[\w-]{20,}|MPP-\d+", "NONCE", repr(told))
        text = re.sub(r'name="ticket" value="[^"]+"', "TICKET", text)
        return re.sub(r'expires=\\?"[^"]+"|id=\\?"[\w-]+"', "WHEN", text)


def _wsgi(app: Any, path: str, method: str, headers: dict[str, str]) -> Answer:
    environ = RequestFactory(headers=headers).generic(method, path).environ
    said: list[Any] = []
    response = app(environ, lambda status, fields, *_: said.extend([status, fields]))
    body = b"".join(response)
    if hasattr(response, "close"):
        response.close()
    return Answer(int(said[0].split()[0]), said[1], body)


async def _asgi(app: Any, path: str, method: str, headers: dict[str, str]) -> Answer:
    plain, _, query = path.partition("?")
    raw = [(k.lower().encode(), v.encode()) for k, v in {"Host": "testserver", **headers}.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": plain,
        "scheme": "http",
        "headers": raw,
        "query_string": query.encode(),
        "server": ("testserver", 80),
        "root_path": "",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
    }
    one = ApplicationCommunicator(app, scope)
    await one.send_input({"type": "http.request", "body": b""})
    start = await one.receive_output(5)
    body, more = b"", True
    while more:
        part = await one.receive_output(5)
        body, more = body + part.get("body", b""), part.get("more_body", False)
    await one.wait(5)
    fields = [(k.decode(), v.decode()) for k, v in start["headers"]]
    return Answer(start["status"], fields, body)


@pytest.fixture(params=["wsgi", "asgi"])
def site(request, paywall_settings) -> Asked:
    paywall_settings(CACHE_SECONDS=60)
    return Asked(request.param)


# ------------------------------------------------------------------------ What it says


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "application/json"},
        {"Accept": "application/problem+json"},
        PERSON,
        {**PERSON, "Accept-Language": "de"},
        {"User-Agent": "a crawler/1.0"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_says_again_what_the_gate_said(site, item, headers, method):
    first, again = site.get(method=method, **headers), site.get(method=method, **headers)
    assert site.times == 1
    assert first.status == again.status == 402
    assert first.same == again.same == site.direct(method=method, **headers).same


def test_each_reader_is_told_in_their_own_words(site, item):
    kinds = [{}, {"Accept": "application/problem+json"}, PERSON]
    told = [site.get(**headers) for headers in kinds]
    assert [site.get(**headers).same for headers in kinds] == [one.same for one in told]
    assert site.times == 3
    assert len({one.same for one in told}) == 3


def test_a_page_has_a_nonce_of_its_own_each_time(site, item):
    policies = set()
    for _ in range(3):
        answer = site.get(**PERSON)
        (policy,) = [value for name, value in answer.headers if name == "content-security-policy"]
        (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
        assert answer.body.count(f'nonce="{nonce}"'.encode()) >= 1
        policies.add(policy)
    assert (len(policies), site.times) == (3, 1)


class Wrapped:
    """What tracers and profilers put around an application: a copy of what the server made of the
    request, and an answer that is nothing but an iterable of bytes."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def wsgi(self, environ: Any, start_response: Any) -> Any:
        answer = self.application({**environ}, start_response)
        yield from answer
        answer.close()

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        await self.application({**scope}, receive, send)


def test_something_between_it_and_django_does_not_stop_it(site, item):
    site.plain = getattr(Wrapped(site.plain), site.kind)
    first, again = site.get(**PERSON), site.get(**PERSON)
    assert first.same == again.same
    assert site.times == 1


def test_it_works_with_sentry(item, paywall_settings, request):
    import sentry_sdk

    paywall_settings(CACHE_SECONDS=60)
    sentry_sdk.init(dsn="https://key@sentry.invalid/1")
    request.addfinalizer(sentry_sdk.init)
    site = Asked("wsgi")
    assert site.get().same == site.get().same
    assert site.times == 1


@pytest.mark.parametrize("how", ["half", "write"])
def test_an_answer_that_was_not_heard_whole_is_not_kept(item, paywall_settings, how):
    paywall_settings(CACHE_SECONDS=60)
    site = Asked("wsgi")
    plain = site.plain

    def half(environ: Any, start_response: Any) -> Any:
        body = b"".join(plain(environ, start_response))
        return [body[:10], body[10:]]

    def write(environ: Any, start_response: Any) -> Any:
        said: list[Any] = []
        body = b"".join(plain(environ, lambda *told: said.extend(told)))
        start_response(*said)(body[:10])
        return [body[10:]]

    site.plain = {"half": half, "write": write}[how]
    environ = RequestFactory().get("/item/").environ
    answer = site.front(environ, lambda *_: lambda part: None)
    if how == "half":
        assert len(next(iter(answer))) == 10  # and then the reader has gone
    else:
        b"".join(answer)
    answer.close()
    assert not site.front.kept._questions


HEADERS = {
    "Cookie": "paywall_holder=x",
    "Authorization": "Payment x",
    "PAYMENT-SIGNATURE": "x",
    "X-PAYMENT": "x",
    "Paywall-Coupon": "SPRING",
    "Paywall-Pay": "balance",
    "If-None-Match": '"x"',
    "Sign-In-With-X": "x",
    "Range": "bytes=0-1",
}


@pytest.mark.parametrize("name", HEADERS)
def test_who_brings_something_is_asked_by_the_gate(site, item, name):
    site.get()
    for _ in range(2):
        site.get(**{name: HEADERS[name]})
    assert site.times == 3


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT"])
def test_other_methods_go_through(site, item, method):
    for _ in range(2):
        site.get(method=method)
    assert site.times == 2


def test_a_coupon_in_the_address_goes_through(site, item):
    for _ in range(2):
        site.get("/item/?COUPON=x")
    assert site.times == 2


def test_what_is_free_or_missing_goes_through(site, item):
    for path in ("/plain/", "/nowhere/", "/paywall/health/"):
        for _ in range(2):
            site.get(path)
    assert site.times == 6


def test_a_paid_request_reaches_the_view(item, paywall_settings, buyer, facilitator):
    paywall_settings(CACHE_SECONDS=60)
    site = Asked("wsgi")
    site.get()
    paid = buyer.pays(Client().get("/item/"))
    before = CALLS["item"]
    assert site.get(**paid).status == 200
    assert CALLS["item"] == before + 1


# ----------------------------------------------------------------- What depends on somebody


def test_free_pages_by_network_are_never_answered_here(site, item, settings):
    pricing.set_free(item, 1, "USD", free_per="address", free_every="day", by=None)
    offers.forget()
    assert [site.get().status for _ in range(3)] == [200, 402, 402]
    assert site.times == 3


def test_members_prices_are_never_answered_here(site, item):
    audience = pricing.named("signed_in", "Members", by=None)
    pricing.set_price(item, Decimal("0.005"), "USD", by=None, audience=audience)
    offers.forget()
    for _ in range(2):
        site.get()
    assert site.times == 2


def test_metered_pages_are_never_answered_here(site, make_resource):
    make_resource(access="forever", meter=Meter.objects.create(name="m", uses=1, per="user"))
    for _ in range(2):
        site.get()
    assert site.times == 2


@pytest.mark.parametrize("method", ["price", "may_pay"])
def test_where_the_site_has_a_say_it_is_asked(site, item, paywall_settings, method):
    paywall_settings(CACHE_SECONDS=60, ADAPTER="tests.entry.test_adapter.Site")
    for _ in range(2):
        site.get()
    assert site.times == 2


# ------------------------------------------------------------------------------ How long


def test_a_new_price_is_told_within_cache_seconds(site, item, paywall_settings, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    paywall_settings(CACHE_SECONDS=1.0)
    offers.forget()
    site.get()
    now[0] += 0.9
    first = site.get()
    pricing.set_price(item, Decimal("0.07"), "USD", by=None)
    now[0] += 0.2
    assert site.get().same != first.same
    assert site.times == 2


def test_it_is_never_older_than_what_the_gate_keeps(site, item, paywall_settings, monkeypatch):
    """A second at the gate and one here are not two."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    paywall_settings(CACHE_SECONDS=1.0)
    offers.forget()
    site.direct()  # the gate keeps it from here on
    now[0] += 0.9
    site.get()
    now[0] += 0.2
    site.get()
    assert site.times == 2


def test_without_cache_seconds_nothing_is_kept(site, item, paywall_settings):
    paywall_settings(CACHE_SECONDS=0)
    for _ in range(2):
        site.get()
    assert site.times == 2


def test_what_is_closed_is_closed_at_once_elsewhere_and_here_within_the_second(
    site, item, monkeypatch
):
    site.get()
    Resource.objects.update(active=False)
    offers.forget()
    site.front.kept.clear()
    assert site.get().status == 503
    assert site.get().status == 503


# --------------------------------------------------------------------------- How much


def test_a_million_addresses_do_not_fill_the_memory(site, item, monkeypatch):
    monkeypatch.setattr(front, "MOST_ANSWERS", 50)
    for number in range(200):
        site.get(f"/item/?page={number}")
    kept = site.front.kept
    assert kept._answers <= 50
    assert sum(len(question.answers) for question in kept._questions.values()) <= 50


def test_nor_do_long_ones(site, item, monkeypatch):
    monkeypatch.setattr(front, "MOST_BYTES", 60_000)
    for number in range(50):
        site.get(f"/item/?page={number}&x={'y' * 1_000}")
    assert site.front.kept._bytes <= 60_000


# -------------------------------------------------------------- The same, whatever is asked


WORDS = st.text(alphabet=string.ascii_letters + string.digits + "-_.~/&=%+", max_size=12)
REQUESTS = st.tuples(
    st.sampled_from(
        ["/item/", "/item/?", "/item", "/streaming/", "/plain/", "/failing/?status=500"]
    ),
    WORDS,
    st.sampled_from(["GET", "HEAD", "OPTIONS"]),
    st.dictionaries(
        st.sampled_from(
            [
                *("Accept", "Accept-Language", "Sec-Fetch-Mode", "Accept-Payment", "Origin"),
                *("Accept-Encoding", "User-Agent", "Cookie", "X-Requested-With"),
            ]
        ),
        st.sampled_from(
            [
                *("", "*/*", "text/html", "application/json", "application/problem+json", "de"),
                *("navigate", "cors", "https://other.example", "gzip", "evm/charge", "a=b"),
            ]
        ),
        max_size=4,
    ),
)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_for_any_request_it_says_what_the_gate_says(item, paywall_settings, kind):
    paywall_settings(CACHE_SECONDS=600)
    site = Asked(kind)

    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(REQUESTS, min_size=1, max_size=6))
    def holds(asked: Any) -> None:
        for start, words, method, headers in asked:
            path = f"{start}{words}" if "?" in start else start
            direct = site.direct(path, method, **headers)
            for _ in range(2):
                assert site.get(path, method, **headers).same == direct.same

    holds()


@pytest.mark.slow
def test_a_million_urls_take_no_more_memory_than_there_is_room_for(item, paywall_settings):
    """Each is sold, and asked for once: none of it helps anybody."""
    paywall_settings(CACHE_SECONDS=3_600, CRAWL_LOG=True, STORM=10**9)
    headers = [("Content-Type", "application/json"), ("Vary", "Accept")]
    body = b"x" * 1_500

    def application(environ: Any, start_response: Any) -> list[bytes]:
        told = environ["paywall.front"]
        told |= {"until": time.monotonic() + 3_600, "about": (item.pk, "USD"), "where": "http://x/"}
        start_response("402 Payment Required", headers)
        return [body]

    door = front.wsgi(application)
    environ = RequestFactory().get("/item/").environ
    before = _resident()
    for number in range(1_000_000):
        asked = {**environ, "PATH_INFO": f"/{number}/", "HTTP_USER_AGENT": f"stranger {number}"}
        for _ in door(asked, lambda *_: None):
            pass
    assert door.kept._answers <= front.MOST_ANSWERS
    assert _resident() - before < 100 * 1024 * 1024


def _resident() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
