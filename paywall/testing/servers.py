"""Small HTTP servers on the loopback interface, for as long as a test takes."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *args: Any) -> None:
        """Clients hang up on a server that misbehaves; nobody needs to read about it."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of its own, and its URL."""
    # Headers and body in one packet: in two, the second waits for 40 ms (Nagle, delayed ACK).
    handler.wbufsize = -1
    server, stopped = _Server(("127.0.0.1", 0), handler), threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            server.handle_request()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        stopped.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", server.server_port), timeout=1).close()
        thread.join()
        server.server_close()
