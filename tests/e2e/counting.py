"""Servers on loopback, and one that counts how often it was asked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers as the handler does."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Counting(http.server.BaseHTTPRequestHandler):
    seen = 0

    def do_GET(self) -> None:
        Counting.seen += 1
        body = f"answer {Counting.seen}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None: ...


class Told(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told, and says so."""

    bodies: list[str]

    def do_POST(self) -> None:
        Told.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        answer = f"done: {Told.bodies[-1]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words: Any) -> None: ...
