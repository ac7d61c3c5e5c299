"""A facilitator that misbehaves on purpose. Where no test says so, it checks what it is given as
the official one does, before it says yes: signature, window, amount, recipient, balance, nonce."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from paywall.testing.payments import FACILITATOR, signed_in, why_not
from paywall.testing.servers import serving

TX = "0x" + "ab" * 32


@dataclass
class Answer:
    """One HTTP answer, or none."""

    status: int = 200
    body: Any = None
    content_type: str = "application/json"
    hang: float = 0.0
    """Seconds to be silent first."""
    cut: bool = False
    """Promise more bytes than are sent, then close."""
    die: bool = False
    """Close without an answer."""
    before: Callable[[dict[str, Any]], None] | None = None
    """What to do with the request before answering: settle it for real, say."""

    def content(self, request: dict[str, Any]) -> bytes:
        body = self.body(request) if callable(self.body) else self.body
        return body if isinstance(body, bytes) else json.dumps(body).encode()


def success(transaction: Any = TX, **more: Any) -> Answer:
    """What a working facilitator says; the body is made from the request.

    `transaction` may be a function that brings one about.
    """

    def body(request: dict[str, Any]) -> dict[str, Any]:
        return {
            "success": True,
            "transaction": transaction() if callable(transaction) else transaction,
            "network": request["paymentRequirements"]["network"],
            "payer": signed_in(request)["from"],
            **more,
        }

    return Answer(body=body)


def failure(reason: str, transaction: str = "", status: int = 200) -> Answer:
    return Answer(
        status,
        {
            "success": False,
            "errorReason": reason,
            "transaction": transaction,
            "network": "eip155:84532",
        },
    )


@dataclass
class Double:
    """Answers with what the test put into `settle` and `verify`, or else as it ought to; keeps what
    it was asked."""

    url: str = ""
    settle: Answer | list[Answer] | None = None
    verify: Answer | None = None
    supported: Answer | None = None
    lets_in: Callable[[str, str, dict[str, str]], bool] | None = None
    """Whether it knows who asks, by method, URL and headers; who it does not gets a 401."""
    balances: dict[str, int] = field(default_factory=dict)
    """What wallets have, in atomic units; those that are not in it have plenty."""
    used: set[tuple[str, str]] = field(default_factory=set)
    requests: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, path: str) -> list[dict[str, Any]]:
        return [body for where, body, _ in self.requests if where == path]

    def answer(self, path: str, request: dict[str, Any]) -> Answer:
        if path == "/supported":
            return self.supported or self._what_it_supports()
        if path == "/verify":
            return self.verify or self._honest_verify(request)
        if isinstance(self.settle, list):
            return self.settle.pop(0) if len(self.settle) > 1 else self.settle[0]
        return self.settle or self._honest_settle(request)

    def _honest_verify(self, request: dict[str, Any]) -> Answer:
        reason = self.why_not(request)
        return Answer(body={"isValid": not reason, **({"invalidReason": reason} if reason else {})})

    def _honest_settle(self, request: dict[str, Any]) -> Answer:
        if reason := self.why_not(request):
            return failure(reason)
        signed, wanted = signed_in(request), request["paymentRequirements"]
        payer = signed["from"]
        self.used.add((payer, signed["nonce"]))
        if payer in self.balances:
            self.balances[payer] -= int(wanted["amount"])
        if wanted["scheme"] == "upto":
            return success(amount=wanted["amount"])
        return success()

    def _what_it_supports(self) -> Answer:
        extra = {"facilitatorAddress": FACILITATOR}
        kinds = [
            {"x402Version": 2, "scheme": "exact", "network": "eip155:84532"},
            {"x402Version": 2, "scheme": "upto", "network": "eip155:84532", "extra": extra},
        ]
        return Answer(body={"kinds": kinds, "extensions": [], "signers": {}})

    def why_not(self, request: dict[str, Any]) -> str:
        """What x402 calls what is wrong with a payment; "" if nothing is."""
        return why_not(request, self.balances, self.used)


@contextmanager
def facilitator() -> Iterator[Double]:
    double = Double()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/supported":
                self.do_POST()
            else:
                self.send_error(501)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
            with double.lock:
                double.requests.append((self.path, body, dict(self.headers)))
                double.connections.add(self.client_address)
                answer = double.answer(self.path, body)
                url, headers = f"{double.url}{self.path}", dict(self.headers)
                if double.lets_in and not double.lets_in(self.command, url, headers):
                    answer = Answer(401, {"error": "unauthorized"})
            if answer.before is not None:
                answer.before(body)
            if answer.hang:
                time.sleep(answer.hang)
            if answer.die:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = answer.content(body)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(content) + (50 if answer.cut else 0)))
            if 300 <= answer.status < 400:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(content)
            if answer.cut:
                self.close_connection = True

        def log_message(self, *args: Any) -> None: ...

    with serving(Handler) as double.url:
        yield double
