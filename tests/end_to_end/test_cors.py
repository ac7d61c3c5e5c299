"""A page of another origin pays, in a real Chromium, with the settings that the docs name."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client

from paywall.responses import EXPOSED
from paywall.testing import encode
from paywall.testing.servers import serving

from .browser import browser
from .conftest import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def elsewhere():
    """An empty page at another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *args: Any) -> None: ...

    with serving(Handler) as url:
        yield url


def documented() -> dict[str, Any]:
    """What the docs say to put into settings, run as it stands there."""
    text = (ROOT / "docs/selling.md").read_text()
    (block,) = re.findall(r"```python\n(from corsheaders.*?)```", text, re.DOTALL)
    found: dict[str, Any] = {}
    exec(block, found)
    return {name: value for name, value in found.items() if name.startswith("CORS_")}


ASK = """async ([url, headers]) => {
    const response = await fetch(url, {headers, credentials: "omit"});
    const names = ["payment-required", "payment-response", "link", "retry-after"];
    return {
        status: response.status,
        body: await response.text(),
        headers: Object.fromEntries(names.map(name => [name, response.headers.get(name)])),
    };
}"""


@pytest.fixture
def served(settings, elsewhere):
    """The shop under a server of its own, with the settings that the docs name."""
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    for name, value in documented().items():
        setattr(settings, name, value)
    settings.CORS_ALLOWED_ORIGINS = [elsewhere]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None: ...

    server = make_server("127.0.0.1", 0, WSGIHandler(), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_of_another_origin_pays(item, buyer, facilitator, served, elsewhere):
    url = f"{served}/item/"
    with browser() as started:
        page = started.new_page()
        page.goto(elsewhere)
        challenge = page.evaluate(ASK, [url, {}])
        assert challenge["status"] == 402
        assert challenge["headers"]["payment-required"]
        host = served.partition("//")[2]
        seen = Client().get("/item/", headers={"host": host})
        header = encode(buyer.payload(seen))
        paid = page.evaluate(ASK, [url, {"PAYMENT-SIGNATURE": header}])
    assert paid["status"] == 200
    assert "item" in paid["body"]
    assert paid["headers"]["payment-response"]
    assert paid["headers"]["link"]


def test_what_the_docs_expose_is_all_that_we_send():
    exposed = {name.lower() for name in documented()["CORS_EXPOSE_HEADERS"]}
    assert exposed == {name.lower() for name in EXPOSED.split(", ")}
