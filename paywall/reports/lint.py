"""What a stranger's program sees of a live URL: is it sold, in every dialect, and can it be paid?

It asks as buyers do and pays nothing. Each finding says what to do.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from paywall.entry.exposed import exposed
from paywall.findings import Finding, Grade
from paywall.protocols import registry as protocols
from paywall.rails import registry as rails

if TYPE_CHECKING:
    import httpx

Fetch = Callable[[str, dict[str, str]], "httpx.Response"]
"""Method and request headers -> the response, redirects not followed."""

GOOD_HEADERS, MOST_HEADERS = 8_000, 16_000
"""Bytes of response headers that common proxies take, and that any takes."""

V2_FIELDS = ("scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds")
MUCH = 1_000
"""A price that is rather a slip of the keyboard, in whole tokens."""


def check(url: str, fetch: Fetch, origin: str = "") -> Iterator[Finding]:
    """Look at a URL that should be sold; with `origin`, also as a page of that other site. Raises
    `httpx.HTTPError` where it cannot be reached."""
    unpaid = fetch("GET", {"Accept": "application/json"})
    yield from _status(unpaid)
    if unpaid.status_code != 402:
        return
    yield from _caching(unpaid)
    yield from _size(unpaid)
    yield from _x402(unpaid, url)
    yield from _mpp(unpaid, url)
    yield from _others(fetch)
    if origin:
        yield from _cors(fetch, origin)


def _status(unpaid: httpx.Response) -> Iterator[Finding]:
    status = unpaid.status_code
    if status == 402:
        yield Finding(Grade.OK, "it asks for payment (402)")
    elif 200 <= status < 300:
        todo = "Sell it: a decorator, or an active path rule with a price."
        yield Finding(Grade.FAIL, f"it is free ({status})", todo)
    elif 300 <= status < 400:
        to = unpaid.headers.get("Location", "")
        todo = "Give buyers the URL that it leads to: programs do not follow with a payment."
        yield Finding(Grade.FAIL, f"it leads elsewhere ({status} to {to})", todo)
    elif status == 503:
        todo = "Look into the log: it says why this is not for sale."
        yield Finding(Grade.FAIL, "it is closed (503)", todo)
    else:
        yield Finding(Grade.FAIL, f"it answers {status}", "Open it in a browser, and mend it.")


def _caching(unpaid: httpx.Response) -> Iterator[Finding]:
    if "no-store" in unpaid.headers.get("Cache-Control", ""):
        yield Finding(Grade.OK, "no cache keeps the challenge")
    else:
        todo = "Something before the site takes Cache-Control: no-store away: have it leave that."
        yield Finding(Grade.FAIL, "a cache may keep the challenge", todo)
    varies = {name.strip().lower() for name in unpaid.headers.get("Vary", "").split(",")}
    missing = [n for n in protocols.request_headers() if n.lower() not in varies]
    if missing:
        todo = "Something before the site shortens Vary: have it leave that."
        yield Finding(Grade.FAIL, f"Vary does not name {', '.join(missing)}", todo)


def _size(unpaid: httpx.Response) -> Iterator[Finding]:
    size = sum(len(name) + len(value) + 4 for name, value in unpaid.headers.items())
    if size > MOST_HEADERS:
        todo = "Offer fewer accounts, or shorten titles and descriptions."
        yield Finding(Grade.FAIL, f"its headers have {size} bytes: proxies refuse that", todo)
    elif size > GOOD_HEADERS:
        todo = "nginx takes 8 KB unless told otherwise: proxy_buffer_size 16k."
        yield Finding(Grade.NOTE, f"its headers have {size} bytes", todo)
    else:
        yield Finding(Grade.OK, f"its headers are short ({size} bytes)")


def _x402(unpaid: httpx.Response, url: str) -> Iterator[Finding]:
    try:
        challenge = json.loads(base64.b64decode(unpaid.headers.get("PAYMENT-REQUIRED", "")))
        offers: list[Any] = challenge["accepts"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        yield Finding(
            Grade.FAIL,
            "there is no x402 challenge in PAYMENT-REQUIRED",
            "Enable an account for stablecoins in the price's currency; if there is one, something "
            "before the site takes the header away.",
        )
        return
    short = [n for n in V2_FIELDS if not all(n in offer for offer in offers)]
    if not offers or short:
        yield Finding(Grade.FAIL, f"the x402 challenge lacks {', '.join(short) or 'offers'}")
        return
    yield Finding(Grade.OK, f"x402 v2 offers {len(offers)}")
    for offer in offers:
        yield from _price(offer)
    yield from _address(challenge.get("resource", {}).get("url", ""), url)
    try:
        old = unpaid.json().get("accepts") or []
    except ValueError:
        old = []
    if old:
        yield Finding(Grade.OK, f"x402 v1 offers {len(old)}")
    else:
        by_use = all(offer["scheme"] == "upto" for offer in challenge["accepts"])
        what = "what is charged by use" if by_use else "these networks"
        yield Finding(Grade.NOTE, f"x402 v1 has no words for {what}")


def _price(offer: dict[str, Any]) -> Iterator[Finding]:
    network = rails.network(str(offer["network"]))
    text = f"{offer['amount']} units of {offer['asset']} on {network.title}"
    if not str(offer["amount"]).isdecimal() or int(offer["amount"]) == 0:
        yield Finding(Grade.FAIL, f"an offer is of nothing: {text}", "Give it a price.")
    elif int(offer["amount"]) > MUCH * 10**6:
        yield Finding(Grade.NOTE, f"an offer is high: {text}", "Is that what it shall cost?")
    if network.testnet:
        todo = "Right while you try it. To sell in earnest, add an account on a main network."
        yield Finding(Grade.NOTE, f"{network.title} is a test network: its money is nothing", todo)


def _address(said: str, url: str) -> Iterator[Finding]:
    if said and said != url:
        todo = (
            "Have the proxy pass Host on, and say X-Forwarded-Proto (SECURE_PROXY_SSL_HEADER): "
            "buyers check it."
        )
        yield Finding(Grade.FAIL, f"the site takes itself to be at {said}", todo)


def _mpp(unpaid: httpx.Response, url: str) -> Iterator[Finding]:
    text = unpaid.headers.get("WWW-Authenticate", "")
    found = re.findall(r'Payment id="[^"]+", realm="([^"]+)"', text)
    if found:
        yield Finding(Grade.OK, f"MPP offers {len(found)}, realm {found[0]}")
    elif urlsplit(url).scheme == "https":
        todo = "If MPP shall be offered: PAYWALL['MPP'], and the proxy's X-Forwarded-Proto."
        yield Finding(Grade.NOTE, "there is no MPP challenge", todo)
    else:
        yield Finding(Grade.NOTE, "no MPP challenge goes over plain HTTP", "Serve it over TLS.")


def _others(fetch: Fetch) -> Iterator[Finding]:
    page = fetch("GET", {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
    kind = page.headers.get("Content-Type", "")
    if page.status_code == 402 and kind.startswith("text/html"):
        yield Finding(Grade.OK, "people get a page")
    else:
        yield Finding(Grade.FAIL, f"people get {page.status_code} as {kind or 'nothing'}")
    asked = fetch("HEAD", {})
    if asked.status_code == 402 and not asked.content:
        yield Finding(Grade.OK, "HEAD tells the price")
    else:
        yield Finding(Grade.NOTE, f"HEAD is answered by {asked.status_code}")


def _cors(fetch: Fetch, origin: str) -> Iterator[Finding]:
    """Whether a page of another site can pay it."""
    wanted = [name.lower() for name in protocols.request_headers()]
    preflight = fetch(
        "OPTIONS",
        {
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": ", ".join(wanted),
        },
    )
    allowed = preflight.headers.get("Access-Control-Allow-Headers", "").lower()
    missing = [name for name in wanted if name not in allowed and "*" not in allowed]
    if preflight.status_code == 402 or "Access-Control-Allow-Origin" not in preflight.headers:
        todo = "django-cors-headers, its middleware above ours (docs/selling.md has the settings)."
        yield Finding(Grade.FAIL, f"the preflight of {origin} is not let through", todo)
    elif missing:
        todo = "Add them to CORS_ALLOW_HEADERS (docs/selling.md)."
        yield Finding(Grade.FAIL, f"the preflight does not allow {', '.join(missing)}", todo)
    else:
        yield Finding(Grade.OK, f"pages of {origin} may send a payment")
    seen = fetch("GET", {"Origin": origin, "Accept": "application/json"})
    told = seen.headers.get("Access-Control-Expose-Headers", "").lower()
    hidden = [n for n in exposed(protocols.all_()).split(", ") if n.lower() not in told]
    if "Access-Control-Allow-Origin" not in seen.headers or hidden:
        todo = "Set CORS_ALLOWED_ORIGINS and CORS_EXPOSE_HEADERS (docs/selling.md)."
        yield Finding(Grade.FAIL, f"scripts of {origin} do not see {', '.join(hidden)}", todo)
    else:
        yield Finding(Grade.OK, f"scripts of {origin} see the offers")
