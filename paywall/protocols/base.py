"""What every protocol does: read a credential, write a challenge, tell an outcome."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from paywall.exceptions import SENTENCES, Code, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.vocabulary import Credential, Offer, Outcome

MAX_HEADER_CHARS = 7_500
"""A response header beyond 8 KB, its name and all, breaks common proxies."""

URL, ERROR = "\x00url", "\x00error"
"""Stand in a challenge's JSON for what is known only when a request comes."""
_URL_JSON, _ERROR_JSON = json.dumps(URL), json.dumps(ERROR)


@dataclass(frozen=True, slots=True)
class Goods:
    """What a challenge says of the resource besides its price."""

    title: str
    description: str
    mime_type: str


class Protocol(Interface):
    """One way in which payments travel over HTTP."""

    @property
    def name(self) -> str: ...
    @property
    def request_header(self) -> str: ...
    @property
    def response_header(self) -> str: ...

    def read(self, value: str) -> Credential:
        """The credential in a request header's value. Raises `Refused`."""
        ...

    def challenge(self, goods: Goods, offers: Sequence[Offer]) -> dict[str, Any]:
        """The challenge as a JSON object, with `URL` and `ERROR` where they belong."""
        ...

    def outcome(self, outcome: Outcome) -> str:
        """The response header's value."""
        ...


class Challenge:
    """The 402 of one resource: JSON made once, filled for each request.

    `header` goes out as base64 in `PAYMENT-REQUIRED`; `body` is the JSON body, to which the
    members of RFC 9457 and our `code` are added, so that one body serves every reader.
    """

    __slots__ = ("_body", "_header", "_object", "_usual_problem")

    def __init__(self, header: dict[str, Any], body: dict[str, Any]) -> None:
        self._object = header
        self._header = json.dumps(header, separators=(",", ":"))
        self._body = json.dumps(body, separators=(",", ":"))[:-1]
        usual = Code.PAYMENT_REQUIRED
        self._usual_problem = _members(402, usual, SENTENCES[usual])

    def header(self, url: str, code: str = Code.PAYMENT_REQUIRED) -> str:
        """The value of `PAYMENT-REQUIRED`, never longer than proxies take."""
        value = _encode(_fill(self._header, url, code))
        return value if len(value) <= MAX_HEADER_CHARS else self._short_header(url, code)

    def body(self, url: str) -> bytes:
        """The JSON body of a 402 to whoever brought no payment."""
        return (_fill(self._body, url, Code.PAYMENT_REQUIRED) + self._usual_problem).encode()

    def refusal_body(self, url: str, status: int, code: str, detail: str, **more: str) -> bytes:
        """The JSON body of a refusal, with the reason."""
        return (_fill(self._body, url, code) + _members(status, code, detail, **more)).encode()

    def _short_header(self, url: str, code: str) -> str:
        """Leave out what a buyer can do without: first the prose, then the URL, then offers."""
        short = dict(self._object)
        resource = {key: value for key, value in short["resource"].items() if key == "url"}
        short["resource"] = resource
        while True:
            value = _encode(_fill(json.dumps(short, separators=(",", ":")), url, code))
            if len(value) <= MAX_HEADER_CHARS:
                return value
            if "resource" in short:
                del short["resource"]
            else:
                short["accepts"] = short["accepts"][:-1]


TITLES = {
    400: "Bad Request",
    402: "Payment Required",
    403: "Forbidden",
    405: "Method Not Allowed",
    409: "Conflict",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


def problem(status: int, code: str, detail: str, **more: str) -> dict[str, Any]:
    """An RFC 9457 problem. The type is `about:blank`, so the title is the status's own."""
    return {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "code": str(code),
        **{key: value for key, value in more.items() if value},
    }


def _members(status: int, code: str, detail: str, **more: str) -> str:
    """A problem's members, to be appended to a JSON object without its closing brace."""
    return "," + json.dumps(problem(status, code, detail, **more), separators=(",", ":"))[1:]


def decode(value: str) -> dict[str, Any]:
    """The JSON object that a header carries in base64. Raises `Refused`."""
    try:
        data = json.loads(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Refused(Code.INVALID_PAYLOAD, status=400) from error
    if not isinstance(data, dict):
        raise Refused(Code.INVALID_PAYLOAD, status=400)
    return data


def check_version(data: Mapping[str, Any], version: int) -> None:
    """Raise `Refused` unless `x402Version` is that number (not a string, not `true`)."""
    claimed = data.get("x402Version")
    if type(claimed) is not int or claimed != version:
        raise Refused(Code.INVALID_VERSION, status=400)


def encode(data: Any) -> str:
    """JSON in base64, as x402 headers carry it."""
    return _encode(json.dumps(data, separators=(",", ":")))


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _fill(template: str, url: str, code: str) -> str:
    return template.replace(_URL_JSON, json.dumps(url)).replace(_ERROR_JSON, f'"{code}"')
