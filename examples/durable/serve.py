"""A shop on loopback, which stands for the world outside: prices to read, and announcements that it counts.

    python3 serve.py [--port 8765] [--slow SECONDS]

GET /prices/NAME     what stands in pages/NAME.txt now. The very first question is answered 503: ask again. Plums take
                     their time with --slow.
POST /announcements  takes effect once for each Idempotency-Key: a key that it knows gets the old answer.

It prints a line for whatever it is asked.
"""

import argparse
import http.server
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

PAGES = Path(__file__).parent / "pages"


class Shop(http.server.BaseHTTPRequestHandler):
    slow = 0.0
    asked = posts = 0
    effects: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        Shop.asked += 1
        is_first, page = Shop.asked == 1, PAGES / f"{Path(self.path).name}.txt"
        self.say("503, come again" if is_first else "")
        if is_first:
            return self.answer(503, b"come again\n")
        if self.path == "/prices/plums":
            time.sleep(self.slow)
        if self.path.startswith("/prices/") and page.is_file():
            return self.answer(200, page.read_bytes())
        self.answer(404, b"no such price\n")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"] or f"post {Shop.posts}"
        Shop.posts += 1
        reply = Shop.effects.setdefault(key, json.dumps({"key": key, "bytes": len(body)}).encode() + b"\n")
        self.say(f"{key}: {Shop.posts} posts, {len(Shop.effects)} effects")
        self.answer(201, reply)

    def answer(self, status: int, body: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked is gone
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def say(self, words: str) -> None:
        print(f"{self.command} {self.path} {words}".rstrip(), flush=True)

    def log_message(self, *words: object) -> None:
        """The lines above are enough."""


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--port", type=int, default=8765)
    words.add_argument("--slow", type=float, default=0)
    given = words.parse_args()
    Shop.slow = given.slow
    http.server.ThreadingHTTPServer(("127.0.0.1", given.port), Shop).serve_forever()


if __name__ == "__main__":
    main()
