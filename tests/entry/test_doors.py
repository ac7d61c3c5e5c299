"""Every kind of view, under every door, server and middleware: sold, or refused, and never free."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from ninja import NinjaAPI

from paywall.decorators import payment_required
from paywall.models import FreeUse, Payment
from paywall.testing import outcome_of
from tests.odd.urls import slug
from tests.odd.views import DECORATED, PLAIN, SECRET

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.matrix,
    pytest.mark.urlconf("tests.odd.urls"),
]

SERVERS = ("wsgi", "asgi")


class Visitor:
    """The same requests under either server."""

    def __init__(self, server: str) -> None:
        self.is_async = server == "asgi"
        self.client: Any = AsyncClient() if self.is_async else Client()

    def __call__(self, path: str, method: str = "get", **kwargs: Any) -> Any:
        call = getattr(self.client, method)
        return (async_to_sync(call) if self.is_async else call)(path, **kwargs)


@pytest.fixture(params=SERVERS)
def visit(request):
    return Visitor(request.param)


def content_of(response: Any) -> str:
    if not response.streaming:
        return str(response.content.decode())
    if hasattr(response.streaming_content, "__aiter__"):

        async def collect() -> bytes:
            return b"".join([part async for part in response.streaming_content])

        return async_to_sync(collect)().decode()
    return b"".join(response.streaming_content).decode()


def is_sold(visit: Visitor, buyer: Any, path: str) -> None:
    challenge = visit(path)
    assert challenge.status_code == 402
    assert SECRET not in content_of(challenge)
    paid = visit(path, headers=buyer.pays(challenge))
    assert paid.status_code == 200, content_of(paid)
    assert SECRET in content_of(paid)
    assert outcome_of(paid)["success"] is True
    assert "private" in paid.headers["Cache-Control"]
    payment = Payment.objects.get()
    assert payment.delivered_at is not None
    assert payment.state == "settled"


@pytest.mark.parametrize("kind", PLAIN)
def test_a_rule_sells_every_kind_of_view(visit, make_resource, buyer, facilitator, kind):
    path = f"/plain/{slug(kind)}/"
    assert visit(path).status_code == 200
    make_resource("rule", path="/plain/**")
    is_sold(visit, buyer, path)


@pytest.mark.parametrize("kind", [*DECORATED, "set", "set/7/one", "api/operation/7"])
def test_the_decorator_sells_every_kind_of_view(visit, item, buyer, facilitator, kind):
    is_sold(visit, buyer, f"/sold/{slug(kind)}{'' if 'operation' in kind else '/'}")


def test_an_async_operation_of_ninja_is_sold(item, buyer, facilitator):
    is_sold(Visitor("asgi"), buyer, "/sold/api/async-operation/")


def test_an_exception_of_drf_costs_nothing(item, buyer, facilitator):
    path = "/sold/drf-below/?missing=1"
    response = Client().get(path, headers=buyer.pays(Client().get(path)))
    assert response.status_code == 404
    assert Payment.objects.get().state == "failed"
    assert facilitator.requests == []


def test_a_ninja_operation_that_would_be_sold_wrongly_is_refused_at_import():
    api = NinjaAPI(urls_namespace="wrong")

    @payment_required("item")
    def sold(request):
        return {"content": 1}

    with pytest.raises(ImproperlyConfigured, match=r"decorate_view\(payment_required"):
        api.get("/x/")(sold)


# --------------------------------------------------------------------- Shipped middleware

SHIPPED = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
OURS = "paywall.middleware.PaywallMiddleware"


@pytest.fixture(
    params=[("all of them", "before"), *product(SHIPPED, ("before", "after"))],
    ids=lambda param: f"{param[0].rpartition('.')[2]} {param[1]}",
)
def surrounded(request, settings):
    """Every shipped middleware around us; and each by itself, before us or (where a check minds or
    nobody does) after us, beside those that the tests need."""
    needed = {name for name in SHIPPED if "auth" in name or "sessions" in name}
    which, place = request.param
    if which == "all of them":
        settings.MIDDLEWARE = [*SHIPPED, OURS]
    else:
        chosen = [n for n in SHIPPED if n in needed or (n == which and place == "before")]
        after = [which] if place == "after" and which not in needed else []
        settings.MIDDLEWARE = [*chosen, OURS, *after]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.CACHE_MIDDLEWARE_SECONDS = 60
    cache.clear()
    yield
    cache.clear()


@pytest.mark.parametrize("path", ["/plain/function/", "/plain/template/", "/sold/function/"])
def test_no_shipped_middleware_gives_anything_away(
    surrounded, item, make_resource, buyer, facilitator, path
):
    make_resource("rule", path="/plain/**")
    challenge = Client().get(path)
    assert challenge.status_code == 402
    conditional = {"If-None-Match": "*", "If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"}
    paid = Client().get(path, headers={**buyer.pays(challenge), **conditional})
    # Whole, with what became of the payment, whatever the buyer has in its cache.
    assert paid.status_code == 200
    assert SECRET in paid.content.decode()
    assert outcome_of(paid)["success"] is True
    for _ in range(2):
        stranger = Client().get(path)
        assert stranger.status_code == 402
        assert SECRET not in stranger.content.decode()


def test_a_cached_view_below_the_gate_is_kept_for_nobody(item, buyer, facilitator, settings):
    settings.MIDDLEWARE = [*SHIPPED, OURS]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    path = "/sold/cached/"
    assert Client().get(path, headers=buyer.pays(Client().get(path))).status_code == 200
    assert Client().get(path).status_code == 402
    assert not [key for key in cache._cache if "views.decorators.cache" in key]


class Hooked:
    """A site's middleware with hooks of both kinds."""

    seen: list[str] = []

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def process_exception(self, request: Any, exception: Exception) -> HttpResponse:
        self.seen.append(type(exception).__name__)
        return HttpResponse("mended", status=418)

    def process_template_response(self, request: Any, response: Any) -> Any:
        self.seen.append("template")
        response.context_data["name"] = "hooked"
        return response


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_sites_own_hooks_are_asked_on_pages_that_a_rule_sells(
    visit, make_resource, buyer, facilitator, settings, place
):
    name = f"{__name__}.Hooked"
    others = settings.MIDDLEWARE[:-1]
    settings.MIDDLEWARE = [*others, name, OURS] if place == "before" else [*others, OURS, name]
    make_resource("rule", path="/plain/**")
    Hooked.seen.clear()
    paid = visit("/plain/template/", headers=buyer.pays(visit("/plain/template/")))
    assert "hooked" in paid.content.decode()
    assert Hooked.seen == ["template"]
    for path in ("/plain/raising/", "/plain/async-raising/"):
        failed = visit(path, headers=buyer.pays(visit(path)))
        assert (failed.status_code, failed.content) == (418, b"mended")
    assert Hooked.seen == ["template", "RuntimeError", "RuntimeError"]
    assert Payment.objects.filter(state="failed").count() == 2


def test_login_required_middleware_leaves_the_paywalls_own_pages_and_what_is_sold(
    item, buyer, facilitator, settings
):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:-1],
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        OURS,
    ]
    settings.PAYWALL = {**settings.PAYWALL, "METRICS_TOKEN": "t"}
    client = Client()
    challenge = client.get("/sold/function/")
    assert challenge.status_code == 402
    paid = client.get("/sold/function/", headers=buyer.pays(challenge))
    receipt = paid.headers["Link"].partition(">")[0][1:]
    assert client.get(receipt).status_code == 200
    assert client.get("/paywall/health/").status_code == 200
    assert client.get("/paywall/metrics/").status_code == 401
    assert client.get("/paywall/purchases/").status_code == 302
    assert client.get("/plain/function/").status_code == 302


# ------------------------------------------------------------------- What delivers nothing


def test_a_redirect_to_sign_in_costs_nothing(visit, item, buyer, facilitator):
    path = "/sold/members/"
    response = visit(path, headers=buyer.pays(visit(path)))
    assert response.status_code == 302
    assert "/accounts/login/" in response.headers["Location"]
    payment = Payment.objects.get()
    assert (payment.state, payment.error_code) == ("failed", "nothing_delivered")
    assert facilitator.requests == []


def test_before_a_redirect_to_sign_in_leaves_it_to_be_collected(make_resource, buyer, facilitator):
    make_resource(policy="before")
    client, path = Client(), "/sold/members/"
    paying = buyer.pays(client.get(path))
    assert client.get(path, headers=paying).status_code == 302
    payment = Payment.objects.get()
    assert (payment.state, payment.delivered_at) == ("settled", None)
    client.force_login(User.objects.create_user("ada"))
    collected = client.get(path, headers=paying)
    assert (collected.status_code, collected.content.decode()) == (200, SECRET)
    assert len(facilitator.asked("/settle")) == 1


def test_what_is_not_modified_costs_nothing(visit, item, buyer, facilitator):
    path = "/sold/tagged/"
    response = visit(path, headers={**buyer.pays(visit(path)), "If-None-Match": '"v1"'})
    assert response.status_code == 304
    assert Payment.objects.get().state == "failed"
    assert facilitator.requests == []


@pytest.mark.parametrize(
    "to",
    [
        "https://cdn.example/file?signature=1",
        "/elsewhere/",
        "https://evil.example/accounts/login/",
        "/accounts/login/more/",
    ],
)
def test_every_other_redirect_is_a_delivery(item, buyer, facilitator, to):
    path = f"/sold/elsewhere/?to={to}"
    response = Client().get(path, headers=buyer.pays(Client().get(path)))
    assert (response.status_code, response.headers["Location"]) == (302, to)
    assert Payment.objects.get().delivered_at is not None
    assert len(facilitator.asked("/settle")) == 1


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/sold/members/", {}, 302),
        ("/sold/tagged/", {"If-None-Match": '"v1"'}, 304),
        ("/sold/function/", {"Sec-Purpose": "prefetch"}, 402),
        ("/sold/function/", {"Sec-Purpose": "prefetch;prerender"}, 402),
    ],
)
def test_what_delivers_nothing_is_no_free_request(quota, path, headers, status):
    for _ in range(3):
        assert Client().get(path, headers=headers).status_code == status
    assert not FreeUse.objects.filter(used__gt=0).exists()
    assert Client().get("/sold/function/").status_code == 200
    assert FreeUse.objects.get().used == 1


@pytest.fixture
def quota(item):
    from paywall.models import Audience, Price

    everyone = Audience.objects.create(name="All", kind="everyone")
    terms = {"free_uses": 2, "free_per": "address", "free_every": "day", "amount": 0}
    return Price.objects.create(resource=item, audience=everyone, **terms)


def test_renewing_a_free_quota_begins_nobodys_count_anew(quota, item):
    from paywall.models import Price

    assert Client().get("/sold/function/").status_code == 200
    again = {name: getattr(quota, name) for name in ("free_per", "free_every", "audience")}
    Price.objects.create(resource=item, amount=0, free_uses=2, **again)
    statuses = [Client().get("/sold/function/").status_code for _ in range(3)]
    assert statuses == [200, 402, 402]


def test_the_order_of_decorators_is_checked():
    (message,) = [m for m in run_checks() if m.id == "paywall.W006"]
    assert "tests.odd.views.members" in message.msg


# ------------------------------------------------------------------- Spellings of a path


@pytest.mark.parametrize(
    ("rule", "spellings"),
    [
        ("/archive/1999/3/", ["/archive/1999/3/", "/archive/01999/03/", "/archive//001999/3/"]),
        ("/space/1999/3/", ["/space/1999/3/", "/space/0001999/03/"]),
        ("/loose/secret", ["/loose/secret", "/loose/secretly", "/loose/secret/x/y"]),
        ("/open/secret/", ["/open/secret/", "/x/open/secret/", "/reopen/secret/"]),
        ("/local/secret/", ["/en-us/local/secret/", "/EN-US/local/secret/"]),
        ("/en-us/local/**", ["/en-us/local/secret/"]),
    ],
)
def test_no_spelling_of_a_url_gets_around_its_rule(visit, make_resource, settings, rule, spellings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:2],
        "django.middleware.locale.LocaleMiddleware",
        *settings.MIDDLEWARE[2:],
    ]
    settings.USE_I18N = True
    make_resource("rule", path=rule)
    for path in spellings:
        response = visit(path)
        assert response.status_code in (402, 404), path
        assert SECRET not in content_of(response)


@pytest.mark.urlconf("tests.odd.case_urls")
@pytest.mark.parametrize("path", ["/case/secret/", "/CASE/SECRET/", "/Case/Secret/"])
def test_an_expression_that_sees_no_case_is_sold_in_any(visit, make_resource, path):
    assert visit(path).status_code == 200
    make_resource("rule", path="/case/secret/")
    assert visit(path).status_code == 402


@pytest.mark.urlconf("tests.odd.case_urls")
def test_where_no_address_can_be_turned_around_people_are_asked_all_the_same(make_resource):
    make_resource("rule", path="/case/secret/")
    page = Client().get("/case/secret/", headers={"Accept": "text/html"})
    assert page.status_code == 402
    assert "PAYMENT-REQUIRED" in page.headers


def test_a_dearer_rule_is_not_walked_around_by_a_cheaper_one(make_resource):
    make_resource("cheap", path="/archive/**", price="0.01")
    dear = make_resource("dear", path="/archive/1999/**", price="5")
    for path in ("/archive/1999/3/", "/archive/01999/3/"):
        body = json.loads(Client().get(path).content)
        assert body["accepts"][0]["maxAmountRequired"] == "5000000", path
    assert dear.pk


def test_what_a_rule_may_miss_is_said_at_start_up(make_resource):
    make_resource("rule", path="/archive/**")
    missed = [m.msg for m in run_checks() if m.id == "paywall.W016"]
    assert any("(?:one|two)/secret" in message for message in missed)
    assert not any("archive/" in message for message in missed)


@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete", "trace"])
@pytest.mark.parametrize("methods", ["", "GET", "POST, PUT"])
def test_a_path_that_is_sold_is_sold_for_every_method_or_not_there(
    visit, make_resource, method, methods
):
    make_resource("rule", path="/plain/**", methods=methods)
    response = visit("/plain/function/", method)
    taken = {"HEAD": "GET"}.get(method.upper(), method.upper())
    is_taken = not methods or taken in methods.split(", ")
    assert response.status_code == (402 if is_taken else 405)
    assert SECRET not in content_of(response)
    if not is_taken:
        assert response.headers["Allow"] == methods
        assert "PAYMENT-REQUIRED" not in response.headers


@pytest.mark.parametrize("method", ["head", "options", "trace"])
def test_questions_never_reach_a_view_unpaid_whatever_they_bring(
    visit, make_resource, item, buyer, facilitator, method
):
    make_resource("rule", path="/plain/**")
    for path in ("/plain/function/", "/sold/function/"):
        paying = buyer.pays(visit(path))
        response = visit(path, method, headers=paying)
        assert response.status_code == 402
        assert SECRET not in content_of(response)
    assert not Payment.objects.exists()


@pytest.mark.slow
def test_a_flat_page_is_sold():
    """In a process of its own, whose site has Django's apps for them."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += ["--ds", "tests.odd.flat_settings", "tests/odd/flat_page.py"]
    env = {**os.environ, "TEST_SQLITE_NAME": ":memory:"}
    env.pop("DATABASE_URL", None)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout


@override_settings(ROOT_URLCONF="tests.odd.urls")
def test_a_path_cannot_forge_a_line_of_the_log(make_resource, caplog):
    sold = make_resource("rule", path="/loose/**")
    sold.active = False
    sold.save()
    Client().get("/loose/secret%0AERROR payment=1 settled")
    assert caplog.records
    assert all("\n" not in record.getMessage() for record in caplog.records)
