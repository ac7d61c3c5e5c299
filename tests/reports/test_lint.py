"""`paywall_check`: against this site itself, and against answers that are wrong in one way."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from paywall.findings import Grade
from paywall.management.commands import paywall_check
from paywall.reports import lint

pytestmark = pytest.mark.django_db

URL = "https://testserver/item/"

Change = Callable[[httpx.Response], httpx.Response]


class Here(httpx.BaseTransport):
    """This site, in this process."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        own = ("accept-encoding", "connection", "content-length", "host")
        found = Client(raise_request_exception=False).generic(
            request.method,
            request.url.raw_path.decode(),
            secure=request.url.scheme == "https",
            headers={name: value for name, value in request.headers.items() if name not in own},
            SERVER_NAME=request.url.host,
        )
        return httpx.Response(found.status_code, headers=list(found.items()), content=found.content)


def site(change: Change | None = None) -> httpx.Client:
    client = httpx.Client(transport=Here(), follow_redirects=False)
    if change is not None:
        client.event_hooks["response"] = [change]
    return client


def looked_at(client: httpx.Client, url: str = URL, origin: str = "") -> dict[str, Grade]:
    def fetch(method: str, headers: dict[str, str]) -> httpx.Response:
        response = client.request(method, url, headers=headers)
        response.read()
        return response

    return {finding.what: finding.grade for finding in lint.check(url, fetch, origin)}


def failed(found: dict[str, Grade]) -> list[str]:
    return [what for what, grade in found.items() if grade == Grade.FAIL]


def test_what_is_sold_passes(item):
    found = looked_at(site())
    assert failed(found) == []
    assert {what for what, grade in found.items() if grade == Grade.OK} >= {
        "it asks for payment (402)",
        "no cache keeps the challenge",
        "x402 v2 offers 1",
        "x402 v1 offers 1",
        "MPP offers 1, realm testserver",
        "people get a page",
        "HEAD tells the price",
    }
    assert "Base Sepolia is a test network: its money is nothing" in found


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/free/sync/", "it is free (200)"),
        ("/item", "it leads elsewhere (301 to /item/)"),
        ("/absent/", "it is closed (503)"),
        ("/nowhere/", "it answers 404"),
    ],
)
def test_what_is_not_sold(item, path, what):
    assert failed(looked_at(site(), f"https://testserver{path}")) == [what]


def without(name: str) -> Change:
    def change(response: httpx.Response) -> httpx.Response:
        response.headers.pop(name, None)
        return response

    return change


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("Cache-Control", "a cache may keep the challenge"),
        ("PAYMENT-REQUIRED", "there is no x402 challenge in PAYMENT-REQUIRED"),
        ("Vary", "Vary does not name"),
    ],
)
def test_a_header_that_got_lost_on_the_way(item, name, what):
    assert any(told.startswith(what) for told in failed(looked_at(site(without(name)))))


def test_headers_that_are_too_long(item):
    def longer(response: httpx.Response) -> None:
        response.headers["X-Long"] = "x" * 16_000

    assert any("proxies refuse that" in told for told in failed(looked_at(site(longer))))


def test_a_site_that_takes_itself_to_be_elsewhere(item, settings):
    settings.ALLOWED_HOSTS = ["*"]

    def fetch(method: str, headers: dict[str, str]) -> httpx.Response:
        client = site()
        return client.request(method, "http://inside.example/item/", headers=headers)

    found = {finding.what: finding.grade for finding in lint.check(URL, fetch)}
    assert failed(found) == ["the site takes itself to be at http://inside.example/item/"]


def test_over_plain_http(item):
    found = looked_at(site(), "http://testserver/item/")
    assert failed(found) == []
    assert "no MPP challenge goes over plain HTTP" in found


def test_pages_of_other_sites(item, settings):
    origin = "https://app.example"
    told = failed(looked_at(site(), origin=origin))
    assert told[0] == f"the preflight of {origin} is not let through"
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    settings.CORS_ALLOWED_ORIGINS = [origin]
    settings.CORS_ALLOW_HEADERS = ["authorization"]
    told = failed(looked_at(site(), origin=origin))
    assert told[0].startswith("the preflight does not allow payment-signature")
    from paywall.responses import EXPOSED

    settings.CORS_ALLOW_HEADERS = [
        *("authorization", "payment-signature", "x-payment"),
        *("payment-authorization", "accept-payment", "sign-in-with-x"),
    ]
    settings.CORS_EXPOSE_HEADERS = EXPOSED.split(", ")
    found = looked_at(site(), origin=origin)
    assert failed(found) == []
    assert found[f"scripts of {origin} see the offers"] == Grade.OK


# ------------------------------------------------------------------------ The command


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(paywall_check.Command, "client", lambda self: site())


def test_for_people_and_programs(item, here, capsys):
    call_command("paywall_check", URL)
    assert "it asks for payment (402)" in capsys.readouterr().out
    call_command("paywall_check", URL, json=True)
    assert json.loads(capsys.readouterr().out)[0]["grade"] == "ok"


def test_it_exits_by_result(item, here):
    with pytest.raises(SystemExit) as ended:
        call_command("paywall_check", "https://testserver/free/sync/")
    assert ended.value.code == 1


def test_what_it_cannot_look_at(db):
    with pytest.raises(CommandError, match="begins with http"):
        call_command("paywall_check", "ftp://site.example/")
    with pytest.raises(CommandError, match="cannot be reached"):
        call_command("paywall_check", "http://127.0.0.1:9/")
