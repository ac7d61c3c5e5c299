"""The 402 of one resource, in all protocols: JSON made once, filled for each request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from paywall.exceptions import SENTENCES, Code

from .base import Part, fill
from .problem import members

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paywall.vocabulary import Asked


class Challenge:
    """The parts of all protocols together. To the body the members of RFC 9457, our `code`, the
    price and how to pay are added, so that one body serves every reader."""

    __slots__ = ("_body", "_in_headers", "_usual_problem")

    def __init__(
        self, parts: Sequence[Part], price: str = "", how_to_pay: Sequence[str] = ()
    ) -> None:
        self._in_headers = [part for part in parts if type(part).headers is not Part.headers]
        body: dict[str, Any] = {}
        for part in parts:
            body |= part.members()
        if price:
            body |= {"price": price, "how_to_pay": list(how_to_pay)}
        self._body = json.dumps(body, separators=(",", ":"))[:-1] + ("," if body else "")
        usual = Code.PAYMENT_REQUIRED
        self._usual_problem = members(402, usual, SENTENCES[usual])

    def headers(self, asked: Asked, code: str = Code.PAYMENT_REQUIRED) -> Mapping[str, str]:
        """The response headers; what two protocols write to one of them stands there in a row."""
        if len(self._in_headers) == 1:
            return self._in_headers[0].headers(asked, code)
        found: dict[str, str] = {}
        for part in self._in_headers:
            for name, value in part.headers(asked, code).items():
                found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    def body(self, url: str) -> bytes:
        """The JSON body of a 402 to whoever brought no payment."""
        return (fill(self._body, url, Code.PAYMENT_REQUIRED) + self._usual_problem).encode()

    def refusal_body(self, url: str, status: int, code: str, detail: str, **more: str) -> bytes:
        """The JSON body of a refusal, with the reason."""
        return (fill(self._body, url, code) + members(status, code, detail, **more)).encode()
