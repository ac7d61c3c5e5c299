"""What is not paid for never reaches a browser; and what a page shows cannot turn against it."""

from __future__ import annotations

import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client

import paywall
from paywall.catalog import offers
from paywall.checkout import tickets
from paywall.holders import cookies
from paywall.models import Meter, Order, Resource
from site_demo.magazine.articles import ARTICLES
from site_demo.magazine.models import Article

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
STATIC = Path(paywall.__file__).parent / "static" / "paywall"
PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

KINDS_OF_READERS: dict[str, dict[str, str]] = {
    "person": PERSON,
    "program": {"Accept": "application/json"},
    "problem": {"Accept": "application/problem+json"},
    "anything": {},
    "frame": {**PERSON, "Sec-Fetch-Dest": "iframe"},
    "prefetch": {**PERSON, "Sec-Purpose": "prefetch"},
    "search engine": {"Accept": "text/html", "User-Agent": "Googlebot/2.1"},
    "range": {"Range": "bytes=0-100000"},
    "conditional": {"If-None-Match": "*", "If-Modified-Since": "Mon, 01 Jan 2035 00:00:00 GMT"},
    "forged cookie": {"Cookie": "paywall_holder=x:y; sessionid=z"},
    "forged payment": {"Payment-Signature": "e30="},
    "forged proof": {"Sign-In-With-X": "e30="},
}


@pytest.fixture
def magazine(settings: Any) -> None:
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [ROOT / "templates"]}]
    call_command("seed_demo", verbosity=0)


def secrets_of(article: dict[str, str]) -> list[str]:
    """Sentences of what is for payers, as they stand in a page."""
    text = article["body"].replace("\n", " ")
    return [part.strip() for part in re.split(r"[.;?]", text) if len(part.strip()) > 30]


@pytest.mark.slow
def test_nothing_of_it_reaches_who_has_not_paid(magazine):
    client = Client()
    texts = {article["slug"]: secrets_of(article) for article in ARTICLES}
    assert min(map(len, texts.values())) > 3
    for article in Article.objects.all():
        slug = f"article-{article.slug}"
        for path in (
            *(article.get_absolute_url(), f"/articles/{article.slug}/", "/articles/"),
            *(f"/paywall/unlock/{slug}/", f"/articles/{article.slug}/?gift=x&coupon=y"),
            *(f"/articles//{article.slug}/", f"/articles/{article.slug}%2f"),
        ):
            asked = [("get", kind) for kind in KINDS_OF_READERS]
            asked += [(method, "person") for method in ("head", "post", "options")]
            for method, kind in asked:
                response = getattr(client, method)(path, headers=KINDS_OF_READERS[kind])
                told = response.content.decode() + json.dumps(dict(response.headers))
                found = [line for line in texts[article.slug] if line in told]
                assert not found, (path, method, kind)


def test_nor_who_comes_after_a_payer(magazine, buyer, facilitator, settings):
    """With the whole site cached."""
    cache.clear()
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    hidden = secrets_of(ARTICLES[0])
    payer = Client()
    paid = payer.get(
        "/articles/slow-money/", headers=buyer.pays(payer.get("/articles/slow-money/"))
    )
    assert hidden[0] in paid.content.decode()
    assert "private" in paid.headers["Cache-Control"]
    for headers in KINDS_OF_READERS.values():
        after = Client().get("/articles/slow-money/", headers=headers)
        assert hidden[0] not in after.content.decode()
        assert after.headers["Cache-Control"] == "no-store"


def test_a_pass_of_another_site_opens_nothing(magazine, buyer, facilitator, settings):
    client = Client()
    client.get("/articles/slow-money/", headers=buyer.pays(client.get("/articles/slow-money/")))
    assert client.get("/articles/slow-money/").status_code == 200
    assert client.get("/articles/quiet-engines/").status_code == 402, "it is for one article"
    settings.SECRET_KEY = "another site's"
    assert client.get("/articles/slow-money/").status_code == 402


@pytest.mark.parametrize("change", [0, 5, -1, -5])
def test_a_cookie_that_was_changed_is_nobodys(magazine, buyer, facilitator, change):
    client = Client()
    client.get("/articles/slow-money/", headers=buyer.pays(client.get("/articles/slow-money/")))
    value = list(client.cookies[cookies.COOKIE].value)
    value[change] = "A" if value[change] != "A" else "B"
    client.cookies[cookies.COOKIE] = "".join(value)
    assert client.get("/articles/slow-money/").status_code == 402


# ----------------------------------------------------------------------------- The page


class Page(HTMLParser):
    """The scripts, links and handlers of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.data: list[str] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.handlers += [name for name in own if name.startswith("on")]
        self.addresses += [own[name] or "" for name in ("href", "src", "action") if name in own]
        self._in_data = tag == "script" and "json" in (own.get("type") or "")
        if tag == "script" and not self._in_data:
            self.scripts.append(own)

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False


NASTY = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><svg onload=alert(1)>",
    "{{ settings.SECRET_KEY }}{% load x %}",
    "javascript:alert(1)",
    "\u2028\u2029<!--<script>",
]


@pytest.mark.parametrize("nasty", NASTY)
def test_what_a_title_or_an_address_says_is_text(make_resource, settings, nasty):
    make_resource(access="forever", description=nasty)
    Resource.objects.update(title=nasty)
    offers.forget()
    response = Client().get("/item/", {"q": nasty}, headers=PERSON)
    page = Page(response.content.decode())
    assert [script["nonce"] for script in page.scripts] == [nonce_of(response)]
    assert page.handlers == []
    assert not [address for address in page.addresses if address.startswith("javascript:")]
    told = [json.loads(text) for text in page.data if text.strip()]
    assert told[0]["headline"] == nasty, "and search engines are told the same"
    assert settings.SECRET_KEY not in response.content.decode()


def nonce_of(response: Any) -> str:
    found = re.search(r"'nonce-([^']+)'", response.headers["Content-Security-Policy"])
    assert found is not None
    return found[1]


def test_the_policy_is_strict_and_each_page_has_a_nonce_of_its_own(item):
    first, second = (Client().get("/item/", headers=PERSON) for _ in range(2))
    policy = first.headers["Content-Security-Policy"]
    for rule in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert first.headers["X-Frame-Options"] == "DENY"
    assert nonce_of(first) != nonce_of(second)
    assert len(nonce_of(first)) >= 22


def test_a_site_may_have_its_own_policy(item, paywall_settings):
    paywall_settings(PAGE_CSP=False)
    response = Client().get("/item/", headers=PERSON)
    assert "Content-Security-Policy" not in response.headers
    assert response.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("path", ["/paywall/handler/wallet/", "/paywall/orders/{order}/"])
def test_no_page_of_ours_can_be_framed(make_resource, path, chain_of_a_kind):
    make_resource(access="forever")
    reader = Client(headers={"Sec-Fetch-Site": "same-origin"})
    ticket = tickets.sign(offers.load("item"), "http://testserver/item/")
    reader.post("/paywall/pay/transfer/", {"ticket": ticket})
    response = reader.get(path.format(order=Order.objects.get().public_id))
    assert response.status_code == 200
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Frame-Options"] == "DENY"


@pytest.fixture
def chain_of_a_kind(paywall_settings):
    """There has to be a node, for transfers to be offered; nobody answers there."""
    paywall_settings(RPC_URLS={"eip155:84532": "http://127.0.0.1:9"}, RPC_TIMEOUT=0.2)


@pytest.mark.parametrize("next_", ["https://evil.example/", "//evil.example/", "javascript:x"])
def test_nobody_is_sent_elsewhere(make_resource, chain_of_a_kind, next_):
    """Where an order leads is signed; what a form says besides is not listened to."""
    make_resource(access="forever")
    reader = Client(headers={"Sec-Fetch-Site": "same-origin"})
    ticket = tickets.sign(offers.load("item"), "http://testserver/item/")
    form = {"ticket": ticket, "next": next_, "url": next_}
    response = reader.post(f"/paywall/pay/transfer/?next={next_}", form)
    assert response.url.startswith("/paywall/orders/")
    page = reader.get(response.url + f"?next={next_}").content.decode()
    assert next_ not in page


def test_a_ticket_is_no_other_text_that_we_sign(make_resource, chain_of_a_kind):
    make_resource(access="forever")
    reader = Client(headers={"Sec-Fetch-Site": "same-origin"})
    reader.post("/paywall/begin/")
    for forged in (reader.cookies[cookies.COOKIE].value, "", "x", "x" * 10_000):
        assert reader.post("/paywall/pay/transfer/", {"ticket": forged}).status_code == 400


def test_the_wallets_worker_knows_who_may_pay_with_it(item, paywall_settings):
    paywall_settings(PAYMENT_HANDLER_ORIGINS=["https://blog.example"])
    text = Client().get("/paywall/handler/worker.js").content.decode()
    assert '"origins": ["http://testserver", "https://blog.example"]' in text
    method = Client().head("/paywall/handler/")
    assert method.headers["Link"] == (
        '<http://testserver/paywall/handler/manifest.json>; rel="payment-method-manifest"'
    )
    app = Client().get("/paywall/handler/manifest.json").json()["default_applications"]
    assert app == ["http://testserver/paywall/handler/app.json"]


def test_without_a_payment_handler_there_is_none(item, paywall_settings):
    paywall_settings(PAYMENT_HANDLER=False)
    for path in ("", "manifest.json", "app.json", "worker.js", "wallet/", "balance/", "qr/"):
        assert Client().get(f"/paywall/handler/{path}").status_code == 404
    page = Client().get("/item/", headers=PERSON).content.decode()
    assert 'data-paywall-way="handler"' not in page


@pytest.mark.parametrize("text", ["", "https://evil.example/", "ethereum:" + "x" * 400])
def test_only_payment_requests_are_drawn(item, text):
    assert Client().get("/paywall/handler/qr/", {"text": text}).status_code == 404


def test_balances_are_looked_up_for_pages_of_ours(item):
    asked = {"network": "eip155:84532", "asset": "x", "address": "y"}
    other = Client().get(
        "/paywall/handler/balance/", asked, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert other.status_code == 429
    own = Client().get(
        "/paywall/handler/balance/", asked, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert own.json() == {"units": None}


def test_a_metered_page_that_is_framed_counts_nobody(make_resource):
    make_resource(access="forever", meter=Meter.objects.create(name="m", uses=1))
    framed = Client().get("/item/", headers={**PERSON, "Sec-Fetch-Dest": "iframe"})
    assert framed.status_code == 402
    assert framed.headers["X-Frame-Options"] == "DENY"


# -------------------------------------------------------------------------- The scripts


def test_all_scripts_of_the_page_are_small():
    """At most 40 KB, compressed, with the wallet and what it is made of."""
    scripts = [*(STATIC / "checkout").glob("*.js"), STATIC / "vendor" / "noble.min.js"]
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in scripts}
    assert len(sizes) == 8
    assert sum(sizes.values()) < 40_000, sizes
    first = sizes["checkout.js"] + sizes["wallet.js"] + sizes["order.js"] + sizes["handler.js"]
    assert first < 12_000, "what a reader loads who pays with none of ours"


def test_nothing_is_loaded_from_elsewhere():
    for path in [
        *(STATIC / "checkout").glob("*"),
        *(STATIC.parents[1] / "templates").rglob("*.html"),
    ]:
        if path.suffix in (".js", ".css", ".html"):
            text = path.read_text()
            assert not re.findall(r"""(?:src|href|import|url\()[=( ]*["']https?://""", text), path
