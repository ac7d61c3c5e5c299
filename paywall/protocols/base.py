"""What every protocol does: see a credential, read it, write a challenge, tell an outcome.

A protocol is how payments travel over HTTP. Every one of them is spoken on every response, and each
reads from a request's headers as a whole: a header may be shared (`Authorization` is a site's own
tokens' too), so a protocol looks at the value and passes on what is not its own.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.interface import Interface
    from paywall.vocabulary import Asked, Credential, Offer, Outcome

URL, ERROR = "\x00url", "\x00error"
"""Stand in a challenge's JSON for what is known only when a request comes."""
_URL_JSON, _ERROR_JSON = json.dumps(URL), json.dumps(ERROR)


@dataclass(frozen=True, slots=True)
class Goods:
    """What a challenge says of the resource besides its price."""

    title: str
    description: str
    mime_type: str
    sign_in: tuple[str, ...] = ()
    """Networks whose wallets may sign in for it: it has passes, or is free for some of them."""
    interface: Interface | None = None
    """What it takes and gives, where somebody says that."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """What a protocol that has extensions (x402 v2) declares besides, by name."""
    own_header: bool | None = None
    """Whether `Authorization` is taken by tokens of the site's own there; None: as the settings
    say."""


class Part:
    """A protocol's part of one resource's challenge: made once, filled for each request."""

    def headers(self, asked: Asked, code: str) -> Mapping[str, str]:
        """The response headers for a request; `code` is why it is refused."""
        return {}

    def members(self) -> Mapping[str, Any]:
        """Members of the JSON body, with `URL` and `ERROR` where they belong."""
        return {}


class Protocol(ABC):
    """One way in which payments travel over HTTP."""

    name: ClassVar[str]
    """As it stands on payments: short, with its version."""
    request_headers: ClassVar[tuple[str, ...]] = ()
    """What it reads: responses vary on them."""
    response_headers: ClassVar[tuple[str, ...]] = ()
    """What it writes: scripts of other origins have to see them."""
    how_to_pay: ClassVar[str] = ""
    """A sentence for whoever reads a 402 and has never seen one, and where to read on."""

    @abstractmethod
    def find(self, headers: Mapping[str, str]) -> str | None:
        """Its credential among a request's headers (in WSGI's spelling, see `key`), as it was
        sent; None where there is none of its own."""

    @abstractmethod
    def read(self, text: str) -> Credential:
        """The credential. Raises `Refused`."""

    @abstractmethod
    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> Part | None:
        """Its part of a challenge; None if it has words for none of the offers."""

    def outcome(self, outcome: Outcome) -> Mapping[str, str]:
        """The response headers that tell a buyer what became of the payment."""
        return {}

    def refusal(self, status: int, code: str) -> tuple[int, str]:
        """How it says that a credential of its own is refused: the status, and the problem's type
        (RFC 9457)."""
        return status, "about:blank"

    def without_offer(self, code: str) -> Mapping[str, Any]:
        """Members of the JSON body of an answer that asks nobody to pay."""
        return {}


def key(header: str) -> str:
    """A request header's name as WSGI spells it: `HTTP_X_PAYMENT`."""
    return f"HTTP_{header.upper().replace('-', '_')}"


def fill(template: str, url: str, code: str) -> str:
    """A challenge's JSON with what is known now in the places of `URL` and `ERROR`."""
    return template.replace(_URL_JSON, json.dumps(url)).replace(_ERROR_JSON, f'"{code}"')
