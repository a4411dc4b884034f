"""A server on loopback that counts how often it was asked."""

from __future__ import annotations

import http.server
from typing import Any


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
