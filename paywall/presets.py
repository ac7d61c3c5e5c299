"""Facilitators by name: where they are, on which networks they settle, and how they know who asks.

As their owners said in October 2026: https://docs.cdp.coinbase.com/x402/network-support,
https://docs.payai.network/x402/supported-networks, https://x402.org/facilitator/supported. What one
settles today, its own `GET /supported` says.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from paywall.secret import Secret

GOOD_FOR = 120
"""Seconds for which a token is good; one is made for each request."""

Headers = Callable[[str, str], Mapping[str, str]]
"""The headers of a request, by its method and URL."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One facilitator that anybody may use."""

    title: str
    url: str
    main_networks: tuple[str, ...] = ()
    """Where real money moves, in CAIP-2."""
    test_networks: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """What has to be said besides its name."""

    def settles_on(self, network: str) -> bool:
        """Whether its owner says so."""
        return network in (*self.main_networks, *self.test_networks)

    @property
    def is_for_tests(self) -> bool:
        """Whether no real money moves there."""
        return not self.main_networks


PRESETS: Mapping[str, Preset] = {
    "coinbase": Preset(
        "Coinbase Developer Platform",
        "https://api.cdp.coinbase.com/platform/v2/x402",
        ("eip155:8453", "eip155:137", "eip155:42161", "eip155:143", "eip155:480"),
        ("eip155:84532", "eip155:4801"),
        ("KEY_ID", "KEY_SECRET"),
    ),
    "payai": Preset(
        "PayAI",
        "https://facilitator.payai.network",
        ("eip155:8453", "eip155:137", "eip155:42161", "eip155:43114", "eip155:1329", "eip155:196"),
        ("eip155:84532", "eip155:80002", "eip155:43113", "eip155:713715"),
    ),
    "x402.org": Preset("x402.org", "https://x402.org/facilitator", (), ("eip155:84532",)),
}


def of_url(url: str) -> Preset | None:
    """The preset that is at a URL's host, whoever named it how."""
    host = urlsplit(url).hostname or ""
    hosts = {urlsplit(one.url).hostname: one for one in PRESETS.values()}
    return hosts.get(host.removeprefix("www."))


def headers_for(name: str, entry: Mapping[str, Any]) -> Headers | None:
    """How a preset's requests say who asks; None where nobody has to. Raises `ValueError` for what
    is missing."""
    preset = PRESETS[name]
    missing = [key for key in preset.keys if not entry.get(key)]
    if missing:
        raise ValueError(f"{preset.title} needs {' and '.join(missing)}.")
    if name == "coinbase":
        return CoinbaseToken(str(entry["KEY_ID"]), Secret(str(entry["KEY_SECRET"])))
    return None


@dataclass(frozen=True, slots=True)
class CoinbaseToken:
    """A bearer token of Coinbase's for one request: signed by the key, good for two minutes.

    The secret is a PEM of an EC key (ES256), or base64 of an Ed25519 key's seed and public half.
    Needs the extra `django-paywall[coinbase]`.
    """

    key_id: str
    key_secret: Secret

    def __call__(self, method: str, url: str) -> Mapping[str, str]:
        """Raises `ImportError`, and `ValueError` for a secret that is no key."""
        import jwt

        key, algorithm = self.key()
        parts, now = urlsplit(url), int(time.time())
        claims = {
            "sub": self.key_id,
            "iss": "cdp",
            "nbf": now,
            "exp": now + GOOD_FOR,
            "uris": [f"{method} {parts.netloc}{parts.path}"],
        }
        named = {"kid": self.key_id, "nonce": secrets.token_hex(16)}
        return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm, headers=named)}"}

    def key(self) -> tuple[Any, str]:
        """The key, and how it signs. Raises `ImportError`, `ValueError`."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        secret = self.key_secret.reveal().replace("\\n", "\n").strip()
        if secret.startswith("-----BEGIN"):
            key = load_pem_private_key(secret.encode(), password=None)
            if isinstance(key, EllipticCurvePrivateKey):
                return key, "ES256"
            raise ValueError("KEY_SECRET is no EC key.")
        try:
            raw = base64.b64decode(secret, validate=True)
        except ValueError as error:
            raise ValueError("KEY_SECRET is neither a PEM nor base64.") from error
        if len(raw) != 64:
            raise ValueError("KEY_SECRET is no Ed25519 key: 64 bytes in base64.")
        return Ed25519PrivateKey.from_private_bytes(raw[:32]), "EdDSA"
