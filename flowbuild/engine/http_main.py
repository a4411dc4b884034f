"""The program that sends one HTTP request: stdin has it, stdout gets the reply or an error, as one JSON document.

Knows nothing of who asks. Two variables of its environment may name a header and its value; neither is ever printed.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from flowbuild.core.secrets import looks_secret

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
    seconds = asked["timeout_ms"] / 1000
    late = time.monotonic() + seconds
    try:
        hooks = {"request": [_signer(httpx.URL(asked["url"]))]}
        with httpx.Client(timeout=seconds, follow_redirects=asked["redirects"] > 0, event_hooks=hooks) as client:
            client.max_redirects = asked["redirects"]
            body = asked["body"].encode() if asked["body"] is not None else None
            with client.stream(asked["method"], asked["url"], headers=asked["headers"], content=body) as reply:
                return _read(reply, asked, late)
    except httpx.TooManyRedirects:
        return _error("http_redirects", f"more than {asked['redirects']} redirects")
    except httpx.TimeoutException:
        return _late(asked)
    except (httpx.InvalidURL, httpx.LocalProtocolError) as error:  # its words hold parts of the request
        return _error("io_request_invalid", f"{type(error).__name__}: this can't be sent by HTTP")
    except httpx.NetworkError as error:  # its words are the system's
        return _error("http_refused", f"{type(error).__name__}: {error}")
    except httpx.HTTPError as error:  # its words hold parts of what the other side sent
        return _error("http_refused", f"{type(error).__name__}: what came back is of no use")


def _signer(url: Any) -> Callable[[Any], None]:
    """What adds the credential to a request, if it goes where the first one went: not to where a redirect leads."""
    header, value, home = os.environ.get("FLOWBUILD_HTTP_HEADER"), os.environ.get("FLOWBUILD_HTTP_VALUE"), _origin(url)

    def sign(request: Any) -> None:
        if header is not None:
            request.headers.pop(header, None)
            request.headers.update({header: value} if _origin(request.url) == home else {})

    return sign


def _read(reply: Any, asked: dict[str, Any], late: float) -> dict[str, Any]:
    """A reply whose body is within its bounds: httpx bounds each wait, and not their sum."""
    data = bytearray()
    for chunk in reply.iter_bytes():
        data += chunk
        if len(data) > asked["max_bytes"]:
            return _error("http_too_large", f"the reply has more than {asked['max_bytes']} bytes")
        if time.monotonic() > late:
            return _late(asked)
    return _said(reply, bytes(data))


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _late(asked: dict[str, Any]) -> dict[str, Any]:
    return _error("http_timeout", f"no whole reply within {asked['timeout_ms']} ms")


def _said(reply: Any, data: bytes) -> dict[str, Any]:
    if reply.status_code in PATIENCE:
        return _error("rate_limited", f"the server asks for patience (status {reply.status_code})")
    said = {
        "status": reply.status_code,
        "url": str(reply.url),
        "redirects": len(reply.history),
        "headers": {name: value for name, value in sorted(reply.headers.items()) if _is_told(name, value)},
    }
    try:
        return {**said, "body": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {**said, "body_base64": base64.b64encode(data).decode()}


def _is_told(name: str, value: str) -> bool:
    """Whether a header may be part of a fact: a list of header names such as Vary holds words that look secret."""
    return name.lower() not in DROPPED and not looks_secret(name) and not looks_secret(value)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": code, "message": message}
