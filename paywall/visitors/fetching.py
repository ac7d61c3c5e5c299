"""Fetching what strangers point to: https, of public addresses alone, and not much of it.

The name is looked up once, every address that it has is looked at, and the connection goes to one
of those: a name that leads elsewhere a moment later (DNS rebinding) leads nowhere.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

MOST_BYTES = 1024 * 1024
SECONDS = 10.0
MOST_REDIRECTS = 3


class NotFetched(Exception):
    """Why there is nothing."""


def fetch_json(url: str, *, media_type: str = "", redirects: int = MOST_REDIRECTS) -> Any:
    """A JSON document. Raises `NotFetched`.

    With `media_type` it has to be of that type. Each redirect is looked at as the first URL was.
    """
    for _ in range(redirects + 1):
        response, body = _get(url, media_type)
        if response.status_code in (301, 302, 303, 307, 308):
            url = urljoin(url, response.headers.get("Location", ""))
            continue
        if response.status_code != 200:
            raise NotFetched(f"status {response.status_code}")
        found = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type and found != media_type:
            raise NotFetched(f"it is {found or 'of no type'}, not {media_type}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise NotFetched("it is no JSON") from error
    raise NotFetched("it redirects" if not redirects else "it redirects too often")


def _get(url: str, media_type: str) -> tuple[httpx.Response, bytes]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError as error:
        raise NotFetched("no URL") from error
    if parts.scheme != "https" or not host or parts.username or parts.password:
        raise NotFetched("no https URL")
    address = _public_address(host, port)
    literal = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{literal}:{port}", fragment="").geturl()
    headers = {
        "Host": parts.netloc,
        "Accept": media_type or "application/json",
        "User-Agent": "paywall (+https://pypi.org/project/django-paywall/)",
        "Accept-Encoding": "identity",
    }
    try:
        with (
            httpx.Client(
                timeout=SECONDS, follow_redirects=False, trust_env=False, verify=_trust()
            ) as client,
            client.stream(
                "GET", target, headers=headers, extensions={"sni_hostname": host}
            ) as response,
        ):
            body, deadline = b"", time.monotonic() + 2 * SECONDS
            for part in response.iter_raw():
                body += part
                if len(body) > MOST_BYTES:
                    raise NotFetched(f"longer than {MOST_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise NotFetched("it takes too long")
            return response, body
    except (httpx.HTTPError, OSError) as error:
        raise NotFetched(f"{type(error).__name__}") from error


def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _public_address(host: str, port: int) -> str:
    """One of a name's addresses, where all of them are public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotFetched("its host is not found") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(_is_public, addresses)):
        raise NotFetched("its host is not on the public network")
    return addresses[0]


def _is_public(address: str) -> bool:
    found = ip_address(address)
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_global and not found.is_multicast
