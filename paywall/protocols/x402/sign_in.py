"""Sign-In-With-X in a challenge (x402 specs, extensions/sign-in-with-x.md).

A wallet that has paid, or has requests free, signs what stands here and is let in. The challenge is
made once; what is new for each request (nonce and times) is filled in.
"""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from paywall.protocols.base import URL

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "sign-in-with-x"
GOOD_FOR = 300
"""Seconds that it may take to sign."""
BEFORE = 5
"""Seconds that it is dated earlier: the clock of whoever verifies it may be a little behind."""

_DOMAIN, _NONCE, _ISSUED, _EXPIRES = "\x00domain", "\x00nonce", "\x00issued", "\x00expires"
DOMAIN, NONCE, ISSUED, EXPIRES = map(json.dumps, (_DOMAIN, _NONCE, _ISSUED, _EXPIRES))
"""As they stand in a challenge's JSON."""


def extension(networks: Sequence[str]) -> dict[str, Any]:
    """The member of `extensions`, for wallets of these networks."""
    from x402.extensions.sign_in_with_x import build_siwx_schema, get_signature_type

    return {
        "info": {
            "domain": _DOMAIN,
            "uri": URL,
            "version": "1",
            "nonce": _NONCE,
            "issuedAt": _ISSUED,
            "expirationTime": _EXPIRES,
            "resources": [URL],
        },
        "supportedChains": [
            {"chainId": network, "type": get_signature_type(network)} for network in networks
        ],
        "schema": build_siwx_schema(),
    }


def fill(text: str, url: str) -> str:
    """A challenge's JSON with what is new for this request."""
    now = time.time() - BEFORE
    values = {
        DOMAIN: json.dumps(urlsplit(url).netloc),
        NONCE: f'"{secrets.token_hex(16)}"',
        ISSUED: f'"{_written(int(now))}"',
        EXPIRES: f'"{_written(int(now) + BEFORE + GOOD_FOR)}"',
    }
    for place, value in values.items():
        text = text.replace(place, value)
    return text


@lru_cache(maxsize=64)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
