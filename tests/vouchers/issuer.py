"""An issuer of vouchers: a double that redeems them once, can lie, and can time out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from paywall.testing.servers import serving

KEY = b"what the issuer signs with"


def voucher(value: int, *, key: bytes = KEY, ends: float = 0, id_: str = "") -> str:
    """A voucher of so many cents."""
    said = {"id": id_ or secrets.token_hex(8), "value": value, "ends": ends or time.time() + 600}
    text = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
    return f"{text}.{hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"


def read(token: str) -> dict[str, Any]:
    """What a voucher says. Raises `ValueError` if the issuer did not sign it."""
    text, _, signature = token.partition(".")
    if not hmac.compare_digest(hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest(), signature):
        raise ValueError("not signed by the issuer")
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text))
    return said


@dataclass
class Issuer:
    """Says what the test tells it; or else checks what it is given, and remembers."""

    url: str = ""
    redeemed: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    void: set[str] = field(default_factory=set)
    silent_after: list[str] = field(default_factory=list)
    """Paths whose next request is acted on, and not answered in time."""
    lies: list[str] = field(default_factory=list)
    """Paths whose next request is answered with yes, and not acted on."""
    is_down: bool = False
    asked: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if path == "/redeem":
            return self._redeem(body)
        if path == "/refund":
            known = self.refunds.setdefault(body["key"], body)
            return 200, {"reference": f"back-{known['key']}"}
        _, kind, id_ = path.split("/")
        if kind == "refunds":
            return (200, self.refunds[id_]) if id_ in self.refunds else (404, {})
        state = "void" if id_ in self.void else "fresh"
        return 200, self.redeemed.get(id_, {"state": state})

    def _redeem(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            said = read(body["token"])
        except ValueError:
            return 402, {"why": "forged"}
        id_ = said["id"]
        if id_ in self.void:
            return 402, {"why": "void"}
        reference = f"redemption-{id_}"
        if "/redeem" in self.lies:
            self.lies.remove("/redeem")
            return 200, {"reference": reference}
        entry = {
            "state": "redeemed",
            "shop": body["shop"],
            "value": said["value"],
            "reference": reference,
            "number": len(self.redeemed) + 1,
        }
        known = self.redeemed.setdefault(id_, entry)
        return (200, known) if known["shop"] == body["shop"] else (409, {"why": "spent"})


@contextmanager
def issuer() -> Iterator[Issuer]:
    double = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do({})

        def do_POST(self) -> None:
            self._do(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _do(self, body: dict[str, Any]) -> None:
            if double.is_down:
                self.send_error(500)
                return
            with double.lock:
                status, answer = double.answer(self.path, body)
                is_silent = self.path in double.silent_after
                if is_silent:
                    double.silent_after.remove(self.path)
            if is_silent:
                time.sleep(1.0)
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None: ...

    with serving(Handler) as double.url:
        yield double
