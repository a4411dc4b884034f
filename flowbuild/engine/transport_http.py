"""The `http` transport: one request in a process of its own, bounded in time, size and redirects.

Knows nothing of facts. A credential is asked for by name: its value goes from a variable of the caller's environment to
that process, and into no request, reply, error or fact.

Shapes:  {"method", "url", "headers": {}, "body": null, "timeout_ms": 30000, "max_bytes": 1048576, "redirects": 5,
         "credential": null}; the reply is {"status", "url", "redirects", "headers": {}, "body" or "body_base64"}.
Errors:  io_request_invalid; http_refused, http_timeout (both retryable), http_too_large, http_redirects,
         http_credential_missing, http_unavailable; rate_limited for status 429 or 503, retryable.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import flowbuild
from flowbuild.core.secrets import looks_secret
from flowbuild.core.text import is_unicode
from flowbuild.engine.capture import Capture
from flowbuild.engine.process import attend
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Start
from flowbuild.engine.transport import TIMEOUT, Kinds, Refused, Replying, Whole, fields, plain
from flowbuild.store.files import ensure_directory, remove_tree
from flowbuild.store.refusal import refused as disk_refused

INVALID = "io_request_invalid"
TIMEOUT_MS, MOST_BYTES, REDIRECTS = 30_000, 1 << 20, 5
LARGEST = 16 << 20  # a reply is JSON on its way here, where one byte may be six
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
GRACE_S = 5.0  # for the process itself, beside the time of the request
_ASKED = "request.json"
_RETRYABLE = frozenset({"http_refused", "http_timeout", "rate_limited"})
_FIELDS: Kinds = {
    "method": (str,),
    "url": (str,),
    "headers": (dict,),
    "body": (str, type(None)),
    "timeout_ms": TIMEOUT,
    "max_bytes": Whole(1, LARGEST),
    "redirects": Whole(0, 20),
    "credential": (str, type(None)),
}
_PASSED = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy")


class Credential(NamedTuple):
    """Where a credential comes from, and the header that carries it, with `prefix` before it."""

    variable: str
    header: str = "Authorization"
    prefix: str = "Bearer "


class HttpTransport:
    """Sends requests. `credentials` are those that a request may name."""

    def __init__(
        self, reaper: Reaper, directory: Path, credentials: Mapping[str, Credential], environment: Mapping[str, str]
    ) -> None:
        self._reaper = reaper
        self._directory = directory
        self._credentials = credentials
        self._environment = environment
        self._count = 0

    def __call__(self, request: Any) -> Replying:
        asked = _checked(request)
        secret = self._secret(asked.get("credential"))
        self._count += 1
        place = self._directory / f"http-{self._count}"
        ensure_directory(place)
        try:
            with disk_refused(place):
                (place / _ASKED).write_text(json.dumps(asked), encoding="utf-8")
            return _reply((yield from self._send(place, asked["timeout_ms"], secret)))
        finally:
            remove_tree(place)

    def _secret(self, name: str | None) -> Mapping[str, str]:
        """The header of a credential, as variables of the process that sends it."""
        if name is None:
            return {}
        known = self._credentials.get(name)
        if known is None:
            raise Refused(INVALID, f"flowbuild.yaml has no `io.credentials.{name}`")
        value = self._environment.get(known.variable)
        if not value:
            raise Refused("http_credential_missing", f"the variable {known.variable} of credential {name} is not set")
        return {"FLOWBUILD_HTTP_HEADER": known.header, "FLOWBUILD_HTTP_VALUE": known.prefix + value}

    def _send(self, place: Path, timeout_ms: int, secret: Mapping[str, str]) -> Replying:
        captures = Capture(place / "stdout", 1 << 27), Capture(place / "stderr")
        passed = {name: value for name in _PASSED if (value := self._environment.get(name))}
        root = str(Path(flowbuild.__file__).parent.parent)
        boot = "import sys; sys.path.append(sys.argv[1]); from flowbuild.engine.http_main import main; main()"
        argv = (sys.executable, "-P", "-s", "-X", "utf8", "-c", boot, root)
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **passed, **secret}
        try:
            child = self._reaper.start(Start(argv[0], argv, place, environment, stdin=place / _ASKED))
            (place / _ASKED).unlink()  # the child has it open, and whoever is killed now leaves no request behind
        except OSError as error:
            raise Refused("http_unavailable", f"no process could be started: {error.strerror}", "OffChain") from None
        exit_ = yield from attend(self._reaper, child, captures, timeout_ms / 1000 + GRACE_S)
        if exit_.timed_out:
            raise Refused("http_timeout", f"no reply within {timeout_ms} ms", "OffChain", retryable=True)
        if exit_.code != 0 or captures[0].log is None:
            raise Refused("http_unavailable", f"the process that sends requests ended: {exit_}", "OffChain")
        return json.loads(captures[0].log.read_bytes())


def _checked(request: Any) -> dict[str, Any]:
    """A request with its defaults, whatever may stand in it checked."""
    given = fields(request, INVALID, "http_request_v1", _FIELDS, "url")
    asked = {
        "method": "GET",
        "headers": {},
        "body": None,
        "timeout_ms": TIMEOUT_MS,
        "max_bytes": MOST_BYTES,
        "redirects": REDIRECTS,
        "credential": None,
        **given,
    }
    plain(INVALID, [asked["url"]])
    try:
        parts = urlsplit(asked["url"])
    except ValueError:
        raise Refused(INVALID, "a URL whose host is none") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(INVALID, "a URL begins with http:// or https:// and has a host")
    if parts.username or parts.password:
        raise Refused("secrets_detected", "a URL may not say who asks; name a credential")
    if not _TOKEN.fullmatch(asked["method"]):
        raise Refused(INVALID, "a method is one word, such as GET")
    if asked["body"] is not None and not is_unicode(asked["body"]):
        raise Refused(INVALID, "a body is a text")
    for name, value in asked["headers"].items():
        _check_header(name, value)
    return asked


def _check_header(name: str, value: Any) -> None:
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not all(mark.isprintable() or mark == "\t" for mark in value)
    ):
        raise Refused(INVALID, f"the header {name!r} is no text of one line in ASCII")
    if not _TOKEN.fullmatch(name):
        raise Refused(INVALID, f"{name!r} is no name of a header")
    if looks_secret(name):
        raise Refused("secrets_detected", "the name of a header is that of a secret; name a credential")


def _reply(said: dict[str, Any]) -> Any:
    if "error" in said:
        code = said["error"]
        raise Refused(code, said["message"], "OffChain", retryable=code in _RETRYABLE)
    return said
