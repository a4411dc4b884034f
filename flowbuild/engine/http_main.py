"""The program that sends one HTTP request: stdin has it, stdout gets the reply or an error, as one JSON document.

Knows nothing of who asks. Two variables of its environment may name a header and its value; neither is ever printed.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any

# Statuses that say "later" are no answer to keep: a recorded one would be given to every attempt that follows.
PATIENCE = frozenset({429, 503})
# Headers that differ from reply to reply, or that hold credentials, say nothing that a handler should depend on.
DROPPED = frozenset({"set-cookie", "date", "server", "connection", "keep-alive", "transfer-encoding", "authorization"})


def main() -> None:
    """Send, and say what came back."""
    asked = json.load(sys.stdin)
    try:
        import httpx
    except ImportError:
        said: dict[str, Any] = {
            "error": "http_unavailable",
            "message": "httpx is not installed; pip install 'flowbuild[http]'",
        }
    else:
        said = send(httpx, asked)
    json.dump(said, sys.stdout)


def send(httpx: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """The reply to a request, or why there is none."""
    headers = dict(asked["headers"])
    if "FLOWBUILD_HTTP_HEADER" in os.environ:
        headers[os.environ["FLOWBUILD_HTTP_HEADER"]] = os.environ["FLOWBUILD_HTTP_VALUE"]
    seconds = asked["timeout_ms"] / 1000
    try:
        with httpx.Client(timeout=seconds, follow_redirects=asked["redirects"] > 0) as client:
            client.max_redirects = asked["redirects"]
            body = asked["body"].encode() if asked["body"] is not None else None
            with client.stream(asked["method"], asked["url"], headers=headers, content=body) as reply:
                data = bytearray()
                for chunk in reply.iter_bytes():
                    data += chunk
                    if len(data) > asked["max_bytes"]:
                        return _error("http_too_large", f"the reply has more than {asked['max_bytes']} bytes")
                return _said(reply, bytes(data))
    except httpx.TooManyRedirects:
        return _error("http_redirects", f"more than {asked['redirects']} redirects")
    except httpx.TimeoutException:
        return _error("http_timeout", f"no reply within {asked['timeout_ms']} ms")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _error("http_refused", f"{type(error).__name__}: {error}")


def _said(reply: Any, data: bytes) -> dict[str, Any]:
    if reply.status_code in PATIENCE:
        return _error("rate_limited", f"the server asks for patience (status {reply.status_code})")
    said = {
        "status": reply.status_code,
        "url": str(reply.url),
        "redirects": len(reply.history),
        "headers": {name: value for name, value in sorted(reply.headers.items()) if name.lower() not in DROPPED},
    }
    try:
        return {**said, "body": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {**said, "body_base64": base64.b64encode(data).decode()}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": code, "message": message}
