"""A facilitator for tests: it checks payments as a real one does, and fails as it is told."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from . import payments
from .chain import Chain
from .servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORKS = ("eip155:84532", "eip155:8453", "eip155:137", "eip155:42161", "eip155:43114", "eip155:1")


@dataclass
class Facilitator:
    """x402's endpoints, and a node of every network, at one URL."""

    url: str = ""
    chain: Chain = field(default_factory=Chain)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Paths and bodies, in order."""
    _refusal: str = ""
    _is_down: bool = False
    _is_mute: bool = False

    @property
    def nodes(self) -> dict[str, str]:
        """For `PAYWALL["RPC_URLS"]`."""
        return {network: f"{self.url}/node/{network.split(':')[1]}" for network in NETWORKS}

    def works(self) -> None:
        """From now on again."""
        self._refusal, self._is_down, self._is_mute = "", False, False

    def refuses(self, reason: str = "insufficient_funds") -> None:
        """Every payment, for that reason in x402's words: nothing moves."""
        self.works()
        self._refusal = reason

    def is_down(self) -> None:
        """It answers 503, and nothing moves."""
        self.works()
        self._is_down = True

    def loses_its_answers(self) -> None:
        """The money moves, and nobody is told: the outcome is unknown."""
        self.works()
        self._is_mute = True

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and content; None to hang up."""
        self.asked.append((path, body))
        if path.startswith("/node/"):
            return 200, self._as_node(int(path.rpartition("/")[2]), body)
        if self._is_down:
            return 503, {"error": "down"}
        if path == "/supported":
            return 200, self._supported()
        reason = self._refusal or payments.why_not(body, self.chain.balances, self.chain.used)
        if path == "/verify":
            invalid = {"invalidReason": reason} if reason else {}
            return 200, {"isValid": not reason, **invalid}
        if path != "/settle":
            return 404, {}
        wanted = body["paymentRequirements"]
        if reason:
            failed = {"success": False, "errorReason": reason, "transaction": ""}
            return 200, {**failed, "network": wanted["network"]}
        transaction = self.chain.settle(body)
        if self._is_mute:
            return 0, None
        by_use = {"amount": wanted["amount"]} if wanted["scheme"] == "upto" else {}
        payer = payments.signed_in(body)["from"]
        paid = {"success": True, "transaction": transaction, "payer": payer}
        return 200, {**paid, "network": wanted["network"], **by_use}

    def _supported(self) -> dict[str, Any]:
        extra = {"facilitatorAddress": payments.FACILITATOR}
        kinds = [
            {"x402Version": 2, "scheme": scheme, "network": network, **more}
            for network in NETWORKS
            for scheme, more in (("exact", {}), ("upto", {"extra": extra}))
        ]
        return {"kinds": kinds, "extensions": [], "signers": {}}

    def _as_node(self, chain_id: int, body: dict[str, Any]) -> dict[str, Any]:
        answer = {"jsonrpc": "2.0", "id": body.get("id")}
        try:
            return {**answer, "result": self.chain.answer(chain_id, body["method"], body["params"])}
        except LookupError as error:
            return {**answer, "error": {"code": -32601, "message": f"not known: {error}"}}


@contextmanager
def running() -> Iterator[Facilitator]:
    """A facilitator at a URL of its own."""
    facilitator, lock = Facilitator(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or "{}")
            with lock:
                status, found = facilitator.answer(self.path, body)
            if found is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None: ...

    with serving(Handler) as facilitator.url:
        yield facilitator
