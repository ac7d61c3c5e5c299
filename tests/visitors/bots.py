"""A bot that signs its requests, as Web Bot Auth has it."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import http_sf  # noqa: F401 - what its signatures are written with
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

from paywall.visitors import keys

DIRECTORY = "https://bot.example/.well-known/http-message-signatures-directory"
USUAL = ("@method", "@target-uri", '"signature-agent";key="sig1"')


class SigningBot:
    """Its key, and what it signs with it."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.url = directory

    @property
    def jwk(self) -> dict[str, str]:
        raw = self.key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "x": x}

    def directory(self, **members: Any) -> dict[str, Any]:
        return {"keys": [{**self.jwk, **members}]}

    def headers(
        self,
        url: str = "http://testserver/item/",
        *,
        method: str = "GET",
        covers: tuple[str, ...] = USUAL,
        created: timedelta = timedelta(),
        seconds: int = 300,
        nonce: str | None = None,
        tag: str = "web-bot-auth",
        agent: str | None = None,
        more: dict[str, str] | None = None,
    ) -> dict[str, str]:
        """What it sends along, with the signature."""
        began = datetime.now(UTC) + created
        message = _Message(
            method, url, {"Signature-Agent": agent or f'sig1="{self.url}"', **(more or {})}
        )
        signer = HTTPMessageSigner(
            signature_algorithm=algorithms.ED25519, key_resolver=_Own(self.key)
        )
        signer.sign(
            message,
            key_id=keys.thumbprint(self.jwk),
            created=began,
            expires=began + timedelta(seconds=seconds),
            nonce=secrets.token_urlsafe(32) if nonce is None else nonce or None,
            label="sig1",
            tag=tag,
            include_alg=False,
            covered_component_ids=covers,
        )
        return message.headers


class _Message:
    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method, self.url, self.headers = method, url, headers


class _Own(HTTPSignatureKeyResolver):
    def __init__(self, key: Any) -> None:
        self.key = key

    def resolve_private_key(self, key_id: str) -> Any:
        return self.key

    def resolve_public_key(self, key_id: str) -> Any:
        return self.key.public_key()
