"""Which rule sells a path; and PaywallMiddleware, which stands there."""

from __future__ import annotations

import json
import random
import re
import sys
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.test import AsyncClient, Client, override_settings
from hypothesis import given
from hypothesis import strategies as st

from paywall.catalog import path_rules
from paywall.catalog.path_rules import Rules, read
from paywall.models import Payment, Resource
from paywall.models.validators import validate_methods, validate_path
from tests.shop.views import CALLS


def rules(*lines: str) -> Rules:
    """Numbered by where they stand; a method may be before the path."""
    found = []
    for number, line in enumerate(lines):
        methods, _, path = line.rpartition(" ")
        found.append(read(number, path, methods))
    return Rules(found)


def hit(known: Rules, path: str, method: str = "GET") -> int | None:
    rule = known.find(path, method)
    return None if rule is None else rule.resource_id


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/archive/2019/may.html", 3),
        ("/archive/2019/june.html", 2),
        ("/archive/2019/june.pdf", 4),
        ("/archive/2018/june.html", 1),
        ("/archive/2018/a/b/c", 0),
        ("/archive/", 0),
        ("/archive", 0),
        ("/other", None),
        ("/archives/x", None),
        ("/x/archive/2019", None),
        ("/", None),
    ],
)
def test_the_most_specific_rule_wins(path, expected):
    known = rules(
        "/archive/**",
        "/archive/*/june.html",
        "/archive/2019/*",
        "/archive/2019/may.html",
        "/archive/2019/*.pdf",
    )
    assert hit(known, path) == expected


def test_double_stars_in_the_middle_take_any_number():
    known = rules("/**/secret", "/a/**/z/*.txt")
    assert hit(known, "/secret") == 0
    assert hit(known, "/a/b/c/secret") == 0
    assert hit(known, "/a/z/x.txt") == 1
    assert hit(known, "/a/b/z/z/x.txt") == 1
    assert hit(known, "/a/b/z/x.md") is None


def test_methods():
    known = rules("/jobs/", "POST /jobs/", "GET,PUT /only/")
    assert hit(known, "/jobs/", "POST") == 1
    assert hit(known, "/jobs/", "GET") == 0
    assert hit(known, "/only/", "HEAD") == 2
    assert hit(known, "/only/", "PUT") == 2
    assert hit(known, "/only/", "DELETE") is None


@pytest.mark.parametrize(
    "path",
    ["/archive//x", "//archive/x", "/archive/./x", "/a/../archive/x", "/archive/x/", "/archive\\x"],
)
def test_no_spelling_gets_around_a_rule(path):
    assert hit(rules("/archive/**"), path) == 0


def specificity(rule: str) -> list[tuple[int, int]]:
    """The order in words: literal, pattern (the longer first), one, any number."""
    order = []
    for segment in rule.strip("/").split("/"):
        if segment == "**":
            order.append((3, 0))
        elif segment == "*":
            order.append((2, 0))
        elif "*" in segment:
            order.append((1, -len(segment.replace("*", ""))))
        else:
            order.append((0, 0))
    return order


def matches(rule: str, path: str) -> bool:
    parts = []
    for segment in rule.strip("/").split("/"):
        if segment == "**":
            parts.append("(?:[^/]+/)*")
        else:
            parts.append(".*".join(map(re.escape, segment.split("*"))).replace(".*", "[^/]*") + "/")
    return re.fullmatch("".join(parts), path.strip("/") + "/") is not None


@pytest.mark.parametrize("seed", range(20))
def test_the_tree_agrees_with_trying_every_rule(seed):
    rng = random.Random(seed)
    words = ["a", "b", "ab", "*", "a*", "*b", "**"]
    lines = sorted({"/" + "/".join(rng.choices(words, k=rng.randint(1, 4))) for _ in range(25)})
    lines = [line for line in lines if "**/**" not in line]
    known = rules(*lines)
    for _ in range(60):
        path = "/" + "/".join(rng.choices(["a", "b", "ab", "ba"], k=rng.randint(1, 5)))
        expected = {line for line in lines if matches(line, path)}
        found = [lines[rule.resource_id] for rule in known.all(path)]
        assert set(found) == expected, path
        if expected:
            best = min(expected, key=specificity)
            assert specificity(found[0])[0] == specificity(best)[0], (path, found, best)


@pytest.mark.parametrize(
    "path", ["archive", "/a b", "/a?b", "/a/**b", "/a//b", "/a#b", "", "//", "/a/***"]
)
def test_a_rule_that_cannot_be_meant_is_refused(path):
    with pytest.raises(ValidationError):
        validate_path(path)


@pytest.mark.parametrize("path", ["/", "/archive/**", "/a/*.pdf", "/**", "/a/*/b/", "/é/ü"])
def test_rules_that_are_meant_are_taken(path):
    if path == "/":
        return
    validate_path(path)


@pytest.mark.parametrize("methods", ["get", "GET,", "HEAD", "OPTIONS", "GET POST"])
def test_methods_that_are_none_are_refused(methods):
    with pytest.raises(ValidationError):
        validate_methods(methods)


# ---------------------------------------------------------------------------- Middleware

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rule(make_resource):
    def make(path: str = "/free/**", **fields: Any) -> Resource:
        return make_resource(f"rule-{Resource.objects.count()}", path=path, **fields)

    return make


def code(response: Any) -> str:
    return str(json.loads(response.content)["code"])


@pytest.mark.parametrize("path", ["/free/sync/", "/free/async/"])
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_a_url_is_sold_without_touching_its_code(rule, buyer, facilitator, path, server):
    def get(**kwargs: Any) -> Any:
        if server == "asgi":
            return async_to_sync(AsyncClient().get)(path, **kwargs)
        return Client().get(path, **kwargs)

    assert get().status_code == 200
    rule()
    challenge = get()
    assert challenge.status_code == 402
    paying = buyer.pays(challenge)
    CALLS.clear()
    paid = get(headers=paying)
    assert paid.status_code == 200
    assert paid.headers["PAYMENT-RESPONSE"]
    again = get(headers=paying)
    assert (again.status_code, code(again)) == (409, "payment_already_used")
    assert Payment.objects.get().delivered_at is not None


def test_a_post_is_paid_without_a_token_and_a_pass_needs_one(rule, buyer, facilitator):
    rule("/free/post/", methods="POST", access="forever")
    client = Client(enforce_csrf_checks=True)
    # Sold for one method: for the others it is not there, rather than free.
    for method in ("get", "head", "put", "patch", "delete", "trace"):
        refused = getattr(client, method)("/free/post/")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    challenge = client.post("/free/post/")
    assert challenge.status_code == 402
    paid = client.post("/free/post/", headers=buyer.pays(challenge))
    assert paid.status_code == 200
    # The pass is a cookie, which a forger's page would send too.
    assert client.post("/free/post/").status_code == 403
    client.cookies["csrftoken"] = "a" * 32
    assert client.post("/free/post/", headers={"x-csrftoken": "a" * 32}).status_code == 200


def test_csrf_is_still_checked_where_nothing_is_sold(rule):
    client = Client(enforce_csrf_checks=True)
    assert client.post("/free/post/").status_code == 403
    rule("/**")
    assert client.post("/admin/login/", {"username": "x"}).status_code == 403
    assert client.post("/free/post/").status_code == 402


def test_the_admin_and_the_paywalls_own_pages_are_never_sold(rule, db):
    User.objects.create_superuser("owner", password="x")
    rule("/**")
    client = Client()
    assert client.get("/admin/login/").status_code == 200
    assert client.get("/paywall/health/").status_code == 200
    assert client.get("/dashboard/").status_code == 302
    assert client.get("/free/sync/").status_code == 402


def test_what_a_decorator_sells_is_sold_once(rule, item, buyer, facilitator):
    rule("/item/**", price="5")
    challenge = Client().get("/item/")
    assert challenge.status_code == 402
    assert Client().get("/item/", headers=buyer.pays(challenge)).status_code == 200
    assert Payment.objects.get().resource == item


def test_a_rule_that_is_not_active_lets_nobody_in(rule):
    sold = rule()
    sold.active = False
    sold.save()
    assert Client().get("/free/sync/").status_code == 503


def test_a_rule_without_a_price_lets_nobody_in(db, account):
    Resource.objects.create(slug="x", title="X", path="/free/**")
    assert Client().get("/free/sync/").status_code == 503


def test_rules_that_cannot_be_read_let_nobody_in(rule, monkeypatch):
    rule()
    path_rules.forget()

    def broken(*args: Any) -> Any:
        raise OperationalError("the database is away")

    monkeypatch.setattr(path_rules, "_rows", broken)
    assert Client().get("/free/sync/").status_code == 503


@pytest.mark.parametrize("method", ["head", "options"])
def test_questions_get_the_challenge(rule, method):
    rule()
    assert getattr(Client(), method)("/free/sync/").status_code == 402


def test_a_404_stays_one(rule):
    rule("/**")
    assert Client().get("/no/such/page/").status_code == 404


def test_a_view_that_fails_costs_nothing(rule, buyer, facilitator):
    rule("/free/broken/")
    challenge = Client().get("/free/broken/")
    response = Client().get("/free/broken/", headers=buyer.pays(challenge))
    assert response.status_code == 500
    assert Payment.objects.get().state == "failed"


def test_login_that_other_middleware_asks_for_is_still_asked_for(rule, buyer, settings):
    """What other middleware decides about a view is not skipped because somebody pays."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:-1],
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        settings.MIDDLEWARE[-1],
    ]
    rule()
    response = Client().get("/free/sync/")
    assert response.status_code == 302
    assert "/accounts/login/" in response.url


def test_without_the_middleware_a_check_says_that_rules_do_nothing(rule, settings):
    from paywall import checks

    rule()
    without = [m for m in settings.MIDDLEWARE if "paywall" not in m]
    assert not [m for m in checks.check_shop() if m.id == "paywall.E011"]
    with override_settings(MIDDLEWARE=without):
        assert [m for m in checks.check_shop() if m.id == "paywall.E011"]


# ------------------------------------------------------------------------------ Long paths


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/*-*-*-*.pdf", "/" + "-" * 20_000),
        ("/*a*b*c*d*e*", "/" + "abcd" * 5_000),
        ("/*a*a*a*a*a*b", "/" + "a" * 20_000),
        ("/**/a/**/b/**/c/**/d", "/a/b/c/" * 4_000),
        ("/**/**/**/**/x", "/y" * 6_000),
        ("/*/**/*/**/*/z", "/y" * 6_000),
    ],
)
def test_no_path_takes_long_whatever_the_rule(rule, path):
    """What is counted is steps, not time: they grow with the path, and not faster."""
    known = rules(rule)

    def steps(path: str) -> int:
        counted = 0

        def count(*_: Any) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count)
        try:
            assert hit(known, path) is None
        finally:
            sys.setprofile(None)
        return counted

    half = path[: len(path) // 2]
    assert steps(path) <= 2.5 * steps(half) + 200


@given(
    st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=8).map("".join),
    st.text("ab", max_size=10),
)
def test_a_pattern_within_a_segment_is_what_its_expression_would_be(pattern, segment):
    if "*" not in pattern or "**" in pattern:
        return
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), segment) is not None
    assert path_rules._fits(pattern, segment) is expected
