"""MPP over HTTP, beside x402 on the same 402.

Challenge in `WWW-Authenticate: Payment`, credential in `Authorization: Payment` or in
`Payment-Authorization`, receipt in `Payment-Receipt` (draft-httpauth-payment-01, 2026-09-09).
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import urlsplit

from paywall import conf
from paywall.exceptions import Code, Refused
from paywall.protocols.base import Part, Protocol, key
from paywall.vocabulary import Credential

from . import wire
from .charges import INTENT, METHODS
from .preferences import preferred

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.protocols.base import Goods
    from paywall.vocabulary import Asked, Offer, Outcome

    from .charges import AuthorizationCharge, TokenCharge

MAX_HEADER_CHARS = 7_500
"""Challenges SHOULD stay below 8 KB."""

PROBLEMS = "https://paymentauth.org/problems/"

_SLUGS = {
    Code.PAYMENT_REQUIRED: "payment-required",
    Code.EXPIRED: "payment-expired",
    Code.WRONG_AMOUNT: "payment-insufficient",
    Code.INVALID_PAYLOAD: "malformed-credential",
    Code.CREDENTIAL_TOO_LARGE: "malformed-credential",
    Code.AMBIGUOUS_CREDENTIAL: "bad-request",
    Code.UNSUPPORTED_SCHEME: "method-unsupported",
    Code.NO_MATCHING_OFFER: "invalid-challenge",
    Code.RESOURCE_MISMATCH: "invalid-challenge",
    Code.INVALID_CHALLENGE: "invalid-challenge",
}
"""The draft's problem types, by our codes; all else is `verification-failed`."""

_KEY, _OWN_KEY = key("Authorization"), key(wire.OWN_HEADER)

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Mpp(Protocol):
    """A site's own tokens in `Authorization` pass by untouched."""

    name: ClassVar[str] = "mpp/1"
    request_headers: ClassVar[tuple[str, ...]] = (
        *("Authorization", wire.OWN_HEADER, "Accept-Payment"),
    )
    response_headers: ClassVar[tuple[str, ...]] = ("WWW-Authenticate", "Payment-Receipt")
    how_to_pay: ClassVar[str] = (
        "MPP, over https: answer a challenge of the WWW-Authenticate header and ask again with "
        "Authorization: Payment. Clients: https://mpp.dev"
    )

    def find(self, headers: Mapping[str, str]) -> str | None:
        found = [_of_scheme(headers.get(_KEY, "")), _of_scheme(headers.get(_OWN_KEY, ""))]
        # Two of them are one too many: read as one text, they are refused.
        own = [text for text in found if text is not None]
        return ",".join(own) if own else None

    def read(self, text: str) -> Credential:
        echo, payload = wire.credential(text)
        method = next(
            (m for m in METHODS if (m.method, INTENT) == (echo.method, echo.intent)), None
        )
        if not echo.is_ours():
            raise Refused(Code.INVALID_CHALLENGE)
        if method is None:
            raise Refused(Code.UNSUPPORTED_SCHEME, status=400)
        made_for = echo.bound_to()

        def is_made_for(asked: Asked) -> bool:
            return (
                made_for.get("u") in {wire.mark(url) for url in asked.urls}
                and made_for.get("m") == asked.method
                and (not echo.digest or echo.digest == asked.digest())
            )

        def takes(offer: Offer) -> bool:
            if echo.expires < _written(int(time.time()) - conf.get().clock_tolerance):
                return False  # in this spelling, times sort as text
            said = method.request(offer)
            return said is not None and echo.request == wire.canonical(said)

        return Credential(
            protocol=self.name,
            scheme=method.scheme,
            network=method.network(wire.decoded(echo.request)),
            payload=method.payload(echo, payload),
            takes=takes,
            is_made_for=is_made_for,
        )

    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> Part | None:
        settings = conf.get()
        if not settings.mpp:
            return None
        said = [
            _Said(method, wire.canonical(request), offer.timeout)
            for offer in offers
            for method in METHODS
            if (request := method.request(offer)) is not None
        ]
        own = goods.own_header
        header = wire.OWN_HEADER if (settings.payment_authorization if own is None else own) else ""
        return Challenges(said, header) if said else None

    def outcome(self, outcome: Outcome) -> Mapping[str, str]:
        if outcome.protocol != self.name or not outcome.success or outcome.status // 100 != 2:
            return {}
        receipt = {
            "status": "success",
            "method": next(m.method for m in METHODS if m.is_of(outcome.network)),
            "timestamp": _written(int(time.time())),
            "reference": outcome.reference,
        }
        return {"Payment-Receipt": wire.canonical(receipt)}

    def refusal(self, status: int, code: str) -> tuple[int, str]:
        # Who paid is not asked to pay again, and a client of this dialect pays on any 402.
        slug = _SLUGS.get(Code(code), "verification-failed")
        return (403 if status == 409 else status), f"{PROBLEMS}{slug}"


class _Said(NamedTuple):
    method: AuthorizationCharge | TokenCharge
    request: str
    timeout: int


class Challenges(Part):
    """One for each offer, in one header."""

    __slots__ = ("_header", "_said")

    def __init__(self, said: Sequence[_Said], header: str) -> None:
        self._said, self._header = said, header

    def headers(self, asked: Asked, code: str) -> Mapping[str, str]:
        if not _is_private(asked.url):
            return {}
        chosen = preferred(asked.preferences, self._said, lambda one: (one.method.method, INTENT))
        found: list[str] = []
        for one in chosen:
            text = _challenge(one, asked, self._header)
            if sum(map(len, found)) + len(text) > MAX_HEADER_CHARS:
                break
            found.append(text)
        return {"WWW-Authenticate": ", ".join(found)} if found else {}


def _challenge(said: _Said, asked: Asked, header: str) -> str:
    # The nonce has two buyers at once, or one buyer twice, sign two things.
    bound = {"m": asked.method, "n": secrets.token_urlsafe(9), "u": wire.mark(asked.url)}
    values = {
        "realm": wire.realm(),
        "method": said.method.method,
        "intent": INTENT,
        "request": said.request,
        "expires": _written(int(time.time()) + said.timeout),
        "digest": asked.digest(),
        "header": header,
        "opaque": wire.canonical(bound),
    }
    return wire.challenge({"id": wire.id_of(list(values.values())), **values})


def _is_private(url: str) -> bool:
    """Whether nobody reads along: no challenge goes over plain HTTP, but on this very machine."""
    return url.startswith("https://") or urlsplit(url).hostname in _LOCAL


def _of_scheme(value: str) -> str | None:
    own = len(wire.SCHEME)
    return value[own:] if value[:own].lower() == wire.SCHEME else None


@lru_cache(maxsize=64)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
