"""The keys of a bot: a JWKS (RFC 7517), each known by its thumbprint (RFC 7638, RFC 8037)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    PublicKey = ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey

MOST_KEYS = 50
_LONGEST_RSA = 8_192 // 6 + 2
"""Letters in base64 of the longest modulus that is taken."""
_MEMBERS = {"OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}


@dataclass(frozen=True, slots=True)
class Key:
    """One of them, and when it is good."""

    public: PublicKey
    not_before: float
    expires: float

    def is_good(self, now: float) -> bool:
        return self.not_before <= now < self.expires


def keys_of(document: Any) -> Mapping[str, Key]:
    """By thumbprint. Raises `ValueError`, `TypeError` or `KeyError` for what is no JWKS, and
    `ImportError` without the extra `crawlers`; a kind of key that nobody here can check is left
    out."""
    keys = document["keys"]
    if not isinstance(keys, list):
        raise ValueError("'keys' is no list")
    found = {}
    for jwk in keys[:MOST_KEYS]:
        public = _public(jwk)
        if public is not None:
            key = Key(public, float(jwk.get("nbf", 0)), float(jwk.get("exp", "inf")))
            found[thumbprint(jwk)] = key
    return found


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """What a signature's `keyid` names."""
    members = {name: jwk[name] for name in _MEMBERS[jwk["kty"]]}
    plain = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(plain).digest()).rstrip(b"=").decode()


def _public(jwk: Mapping[str, Any]) -> PublicKey | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    kty, curve = jwk.get("kty"), jwk.get("crv")
    if kty == "OKP" and curve == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(_bytes(jwk["x"]))
    if kty == "RSA" and len(jwk["n"]) <= _LONGEST_RSA and len(jwk["e"]) <= 8:
        key = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
        return key if key.key_size >= 2048 else None
    if kty == "EC" and curve == "P-256":
        numbers = ec.EllipticCurvePublicNumbers(
            _number(jwk["x"]), _number(jwk["y"]), ec.SECP256R1()
        )
        return numbers.public_key()
    return None


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")
