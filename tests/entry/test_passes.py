"""Passes, and who may come in by what."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import Client
from django.utils import timezone

from paywall import checks, ledger
from paywall.holders import cookies
from paywall.ledger.pass_cache import keep
from paywall.models import AccessPass, Payment, Resource
from tests.shop.views import CALLS

pytestmark = pytest.mark.django_db


@pytest.fixture
def season(make_resource) -> Resource:
    return make_resource(access="period", pass_seconds=3600)


def bought(client: Client, buyer: Any, path: str = "/item/") -> Any:
    return client.get(path, headers=buyer.pays(client.get(path)))


@pytest.mark.parametrize("path", ["/item/", "/async-item/"])
def test_a_pass_lets_the_browser_back_in(season, buyer, facilitator, path):
    client = Client()
    response = bought(client, buyer, path)
    cookie = response.cookies[cookies.COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    again = client.get(path)
    assert again.status_code == 200
    assert "private" in again.headers["Cache-Control"]
    assert Payment.objects.count() == 1
    assert CALLS["item"] == 2


def test_the_cookie_is_secure_over_tls(season, buyer, facilitator):
    client = Client()
    response = client.get(
        "/item/", secure=True, headers=buyer.pays(client.get("/item/", secure=True))
    )
    cookie = response.cookies[cookies.SECURE_COOKIE]
    assert cookie["secure"]
    assert (cookie["path"], cookie["domain"]) == ("/", "")
    assert client.get("/item/", secure=True).status_code == 200


def test_over_tls_nobody_foists_a_cookie_on_a_reader(season, buyer, facilitator):
    """A page of another host of the domain can set the plain one, and no `__Host-` one."""
    client = Client()
    client.get("/item/", headers=buyer.pays(client.get("/item/")))
    assert client.get("/item/").status_code == 200
    assert client.get("/item/", secure=True).status_code == 402


def test_the_database_does_not_know_the_secret(season, buyer, facilitator):
    response = bought(Client(), buyer)
    secret, _, _ = response.cookies[cookies.COOKIE].value.partition(":")
    assert len(secret) >= 40
    assert secret not in str(AccessPass.objects.values().get())


def test_a_pass_ends(season, buyer, facilitator):
    client = Client()
    bought(client, buyer)
    AccessPass.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get("/item/").status_code == 402


def test_a_pass_can_be_revoked(season, buyer, facilitator):
    client = Client()
    bought(client, buyer)
    AccessPass.objects.update(revoked_at=timezone.now())
    assert client.get("/item/").status_code == 402


def test_a_pass_for_good(make_resource, buyer, facilitator):
    make_resource(access="forever")
    client = Client()
    bought(client, buyer)
    assert AccessPass.objects.get().expires_at is None
    assert client.get("/item/").status_code == 200


def test_a_pass_opens_only_its_resource(season, make_resource, buyer, facilitator):
    other = make_resource("other", access="forever")
    client = Client()
    bought(client, buyer)
    assert client.get(f"/by-object/{other.slug}/").status_code == 402


def test_a_browser_has_one_cookie_however_much_it_bought(make_resource, buyer, facilitator):
    client = Client()
    for number in range(12):
        slug = f"article-{number}"
        make_resource(slug, access="forever")
        assert bought(client, buyer, f"/by-object/{slug}/").status_code == 200
    assert len(client.cookies) == 1
    assert AccessPass.objects.values("holder").distinct().count() == 1
    assert all(client.get(f"/by-object/article-{n}/").status_code == 200 for n in range(12))


@pytest.mark.parametrize("cookie", ["guess", "guess:guess", "", ":", "x" * 4000])
def test_a_cookie_that_the_site_did_not_sign_is_none(season, buyer, facilitator, cookie):
    client = Client()
    client.cookies[cookies.COOKIE] = cookie
    assert client.get("/item/").status_code == 402
    bought(client, buyer)
    assert client.cookies[cookies.COOKIE].value != cookie
    assert client.get("/item/").status_code == 200


def test_a_guessed_pass_opens_nothing(season):
    client = Client()
    client.cookies[cookies.COOKIE] = "guess"
    assert client.get("/item/").status_code == 402


def test_one_request_buys_no_pass(item, buyer, facilitator):
    response = bought(Client(), buyer)
    assert not response.cookies
    assert not AccessPass.objects.exists()


def test_a_user_comes_back_from_another_browser(season, buyer, facilitator):
    User.objects.create_user("ada", password="x")
    first, second = Client(), Client()
    first.login(username="ada", password="x")
    bought(first, buyer)
    assert second.get("/item/").status_code == 402
    second.login(username="ada", password="x")
    assert second.get("/item/").status_code == 200
    assert Payment.objects.get().user.username == "ada"


def test_a_view_that_fails_gives_no_pass(make_resource, buyer, facilitator):
    make_resource(access="forever")
    client = Client()
    bought(client, buyer, "/failing/")
    assert not AccessPass.objects.exists()


# ---------------------------------------------------------------------------------- CSRF


def strict() -> Client:
    return Client(enforce_csrf_checks=True)


def test_a_program_pays_and_posts_without_a_csrf_token(item, buyer, facilitator):
    client = strict()
    challenge = client.post("/item/")
    assert challenge.status_code == 402
    assert client.post("/item/", headers=buyer.pays(challenge)).status_code == 200


@pytest.mark.parametrize("path", ["/item/", "/async-item/"])
def test_who_is_let_in_by_a_cookie_is_checked(season, buyer, facilitator, path):
    client = strict()
    bought(client, buyer, path)
    calls = CALLS["item"]
    assert client.get(path).status_code == 200
    assert client.post(path).status_code == 403
    assert CALLS["item"] == calls + 1
    client.cookies["csrftoken"] = "a" * 32
    assert client.post(path, headers={"X-CSRFToken": "a" * 32}).status_code == 200


def test_who_is_let_in_by_signing_in_is_checked(season, buyer, facilitator):
    User.objects.create_user("ada", password="x")
    client = strict()
    client.login(username="ada", password="x")
    bought(client, buyer)
    del client.cookies[cookies.COOKIE]
    assert client.get("/item/").status_code == 200
    assert client.post("/item/").status_code == 403


def test_a_payment_header_does_not_excuse_a_pass(season, buyer, facilitator):
    """Else a forged form could not, but a forged script with a worthless header could."""
    client = strict()
    bought(client, buyer)
    assert client.post("/item/", headers={"PAYMENT-SIGNATURE": "x"}).status_code == 403


def test_a_view_that_is_exempt_stays_exempt(make_resource, buyer, facilitator):
    make_resource(access="forever")
    client = strict()
    bought(client, buyer, "/exempt/")
    # csrf_exempt stands above the gate here, so the gate cannot know: it checks.
    assert client.post("/exempt/").status_code == 403


def test_a_site_without_the_csrf_middleware_is_not_given_one(season, buyer, facilitator, settings):
    from paywall import decorators

    settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if "Csrf" not in m]
    decorators._site_checks_csrf.cache_clear()
    try:
        client = strict()
        bought(client, buyer)
        assert client.post("/item/").status_code == 200
    finally:
        decorators._site_checks_csrf.cache_clear()


def test_the_receipt_of_a_pass_is_like_any_other(season, buyer, facilitator):
    response = bought(Client(), buyer)
    url = response.headers["Link"].split(">")[0][1:]
    assert json.loads(Client().get(url).content)["payment"]["state"] == "settled"


# ---------------------------------------------------------------------------- The cache


@pytest.fixture
def pass_cache(settings, paywall_settings, tmp_path):
    """One on disk: any number of processes could share it."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {
        **settings.CACHES,
        "passes": {"BACKEND": backend, "LOCATION": str(tmp_path)},
    }
    paywall_settings(PASS_CACHE="passes", CACHE_SECONDS=60)
    return caches["passes"]


def test_who_comes_back_costs_no_query(
    season, buyer, facilitator, pass_cache, django_assert_num_queries
):
    client = Client()
    bought(client, buyer)
    assert client.get("/item/").status_code == 200
    with django_assert_num_queries(0):
        assert client.get("/item/").status_code == 200


def test_without_it_one(season, buyer, facilitator, paywall_settings, django_assert_num_queries):
    paywall_settings(CACHE_SECONDS=60)
    client = Client()
    bought(client, buyer)
    with django_assert_num_queries(1):
        assert client.get("/item/").status_code == 200


def test_a_revocation_is_heard_of_at_the_next_request(season, buyer, facilitator, pass_cache):
    client = Client()
    bought(client, buyer)
    client.get("/item/")
    ledger.revoke_pass(Payment.objects.get())
    assert client.get("/item/").status_code == 402
    # Somebody who had looked just before writes it down just after.
    holder = AccessPass.objects.get().holder
    keep(season.pk, holder, None)
    assert client.get("/item/").status_code == 402
    ledger.restore_pass(Payment.objects.get())
    assert client.get("/item/").status_code == 200


def test_a_kept_pass_ends_when_the_pass_does(season, buyer, facilitator, pass_cache):
    client = Client()
    bought(client, buyer)
    AccessPass.objects.update(expires_at=timezone.now() + timedelta(seconds=0.3))
    assert client.get("/item/").status_code == 200
    time.sleep(0.35)
    assert client.get("/item/").status_code == 402


def test_a_cache_that_is_away_stops_nobody(season, buyer, facilitator, pass_cache, monkeypatch):
    client = Client()
    bought(client, buyer)

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError

    for name in ("get", "add", "delete_many"):
        monkeypatch.setattr(type(pass_cache), name, broken)
    assert client.get("/item/").status_code == 200


@pytest.mark.parametrize(("name", "found"), [("default", True), ("none", True), ("passes", False)])
def test_a_cache_that_is_not_shared_is_an_error(pass_cache, paywall_settings, name, found):
    paywall_settings(PASS_CACHE=name)
    assert ("paywall.E014" in {message.id for message in checks.check_settings()}) is found
