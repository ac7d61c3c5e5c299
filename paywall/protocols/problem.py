"""RFC 9457 problems: how every refusal says what is wrong, whatever the protocol."""

from __future__ import annotations

import json
from typing import Any

TITLES = {
    400: "Bad Request",
    402: "Payment Required",
    403: "Forbidden",
    405: "Method Not Allowed",
    409: "Conflict",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


def problem(
    status: int, code: str, detail: str, *, type_: str = "about:blank", **more: str
) -> dict[str, Any]:
    """An RFC 9457 problem. The title is the status's own, as `about:blank` wants it."""
    return {
        "type": type_,
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "code": str(code),
        **{key: value for key, value in more.items() if value},
    }


def members(status: int, code: str, detail: str, **more: str) -> str:
    """A problem's members, to be appended to a JSON object without its closing brace."""
    return json.dumps(problem(status, code, detail, **more), separators=(",", ":"))[1:]
