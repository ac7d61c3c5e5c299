"""MPP's headers: challenges whose ids we can check without having kept them, and credentials.

An id is the HMAC of all that the challenge says, in fixed slots, so that a credential's echo of it
is known to be ours and unchanged (draft-httpauth-payment, "Challenge Binding"). No row is written
for a 402.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.utils.encoding import force_bytes

from paywall import conf
from paywall.exceptions import Code, Refused, malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEME = "payment "
OWN_HEADER = "Payment-Authorization"
"""Where a credential goes if `Authorization` is taken by a site's own tokens."""

SLOTS = ("realm", "method", "intent", "request", "expires", "digest", "header", "opaque")
"""What an id binds; what a challenge does not have is empty there."""


@dataclass(frozen=True, slots=True)
class Echo:
    """A challenge of ours, as a credential repeats it."""

    id: str
    realm: str
    method: str
    intent: str
    request: str
    expires: str = ""
    digest: str = ""
    header: str = ""
    opaque: str = ""

    def is_ours(self) -> bool:
        """Whether we made it, and it says what it said then."""
        slots = [getattr(self, name) for name in SLOTS]
        return self.realm == realm() and any(
            hmac.compare_digest(id_of(slots, key).encode(), self.id.encode()) for key in _keys()
        )

    def bound_to(self) -> dict[str, str]:
        """What it was made for. Raises `Refused`."""
        found = decoded(self.opaque)
        return {name: str(value) for name, value in found.items()}


def id_of(slots: list[str], key: bytes | None = None) -> str:
    """The id of a challenge with these slots."""
    return encoded(hmac.digest(key or _keys()[0], "|".join(slots).encode(), "sha256"))


@conf.kept
def _keys() -> tuple[bytes, ...]:
    """Keys of ours, the one that is used first: made of Django's secret, and of earlier ones."""
    secrets = (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)
    return tuple(hmac.digest(force_bytes(secret), b"paywall.mpp", "sha256") for secret in secrets)


@conf.kept
def realm() -> str:
    """Who asks for payment: the same whatever a request's Host header says."""
    named = conf.get().realm
    hosts = (host for host in django_settings.ALLOWED_HOSTS if host[:1] not in (".", "*"))
    return named or next(hosts, "paywall")


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def canonical(value: Mapping[str, Any]) -> str:
    """JSON of strings and whole numbers in its canonical form (RFC 8785), as base64url."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return encoded(text.encode())


def decoded(text: str) -> dict[str, Any]:
    """A JSON object in base64url. Raises `Refused`."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise no_credential("it is not base64url") from error
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise no_credential("what is in the base64url is not JSON") from error
    if not isinstance(found, dict):
        raise no_credential("it is not a JSON object")
    return found


def no_credential(why: str) -> Refused:
    """What is no well-formed credential: MPP answers 402 to it."""
    return malformed(why, status=402)


def challenge(values: Mapping[str, str]) -> str:
    """The value of `WWW-Authenticate`. The values are ours: nothing in them needs to be escaped."""
    return "Payment " + ", ".join(f'{name}="{value}"' for name, value in values.items() if value)


def credential(text: str) -> tuple[Echo, dict[str, Any]]:
    """The challenge and the payload of a credential. Raises `Refused`."""
    if "," in text:
        raise Refused(Code.AMBIGUOUS_CREDENTIAL, status=400)
    found = decoded(text.strip())
    echo, payload = _object(found, "challenge"), _object(found, "payload")
    values = {name: echo.get(name) or "" for name in ("id", *SLOTS)}
    for name, value in values.items():
        if not isinstance(value, str):
            raise no_credential(f"challenge.{name} is not a string")
    return Echo(**values), payload


def _object(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name)
    if not isinstance(value, dict):
        raise no_credential(f"{name} is not an object")
    return value


def mark(url: str) -> str:
    """A URL, short: challenges have to fit into a header."""
    return encoded(hashlib.sha256(url.encode()).digest()[:16])
