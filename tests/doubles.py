"""A facilitator that misbehaves on purpose. Nothing here stands in for one that works."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
            "payer": request["paymentPayload"]["payload"]["authorization"]["from"],
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
    """Answers with what the test put into `settle` and `verify`; keeps what it was asked."""

    url: str = ""
    settle: Answer | list[Answer] = field(default_factory=success)
    verify: Answer = field(default_factory=lambda: Answer(body={"isValid": True}))
    requests: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, path: str) -> list[dict[str, Any]]:
        return [body for where, body, _ in self.requests if where == path]

    def answer(self, path: str) -> Answer:
        if path == "/verify":
            return self.verify
        if isinstance(self.settle, list):
            return self.settle.pop(0) if len(self.settle) > 1 else self.settle[0]
        return self.settle


@contextmanager
def facilitator() -> Iterator[Double]:
    double = Double()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with double.lock:
                double.requests.append((self.path, body, dict(self.headers)))
                double.connections.add(self.client_address)
                answer = double.answer(self.path)
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

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """Clients hang up on a double that misbehaves; nobody needs to read about it."""

    server = Server(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
