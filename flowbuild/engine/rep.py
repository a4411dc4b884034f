"""REP v0.1 as its client speaks it, without IO: a request becomes bytes, bytes become a reply.

Knows nothing of processes, pipes or clocks. Strictly one request and its reply at a time. Whatever else is said, and in
whatever form, is a broken word: there is no resynchronizing with somebody who does not keep to a protocol this small.

Shapes:  one JSON-RPC 2.0 object a line, UTF-8, ids from 1. See docs/executors.md.
Errors:  RepTransport (3001) for what is not REP, CapabilitiesMismatch for capabilities that lack a field, RepRefused
         for a request that is too long.
Source:  seed 000 `docs/rep/v0.1/spec.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

from flowbuild.core.errors import CapabilitiesMismatch, FlowError, RepInternal, RepRefused, RepTransport
from flowbuild.engine.engine import Capabilities

CAPABILITIES, START, POLL, CANCEL, HEALTH = (
    "Runtime.Capabilities",
    "Runtime.StartRun",
    "Runtime.Poll",
    "Runtime.Cancel",
    "Runtime.Health",
)
MAX_FRAME = 16 << 20  # bytes of a line, in either direction
TERMINAL = frozenset({"completed", "failed"})
STATUSES = TERMINAL | {"pending", "running"}
# Kinds of nodes that whoever orchestrates performs: no executor is asked for them.
CONTROL = frozenset({"switch", "finish"})
SHOWN = 80  # characters of a bad line in a message


class Refusal(NamedTuple):
    """The error object of a reply."""

    code: int
    message: str
    data: Mapping[str, Any]

    @property
    def is_retriable(self) -> bool:
        return self.data.get("retriable") is True

    @property
    def is_step_failure(self) -> bool:
        return 2000 <= self.code < 3000


class Reply(NamedTuple):
    """What was said to one request: exactly one of the two is there."""

    method: str
    result: Mapping[str, Any] | None
    refusal: Refusal | None


class Progress(NamedTuple):
    """What a Poll tells."""

    status: str
    events: tuple[Mapping[str, Any], ...]
    summary: Mapping[str, Any]


class Session:
    """One conversation. `ask` gives the bytes to send; `feed` takes what came, and gives the reply when it is whole."""

    def __init__(self) -> None:
        self._id = 0
        self._method: str | None = None
        self._line = bytearray()

    @property
    def awaits(self) -> str | None:
        """The method that is not answered yet."""
        return self._method

    def ask(self, method: str, params: Mapping[str, Any]) -> bytes:
        """The next request. The one before must have been answered."""
        assert self._method is None, f"{self._method} is not answered yet"
        doc = {"jsonrpc": "2.0", "id": self._id + 1, "method": method, "params": params}
        frame = msgspec.json.encode(doc) + b"\n"
        if len(frame) > MAX_FRAME:
            raise RepRefused(f"{method} would be a frame of {len(frame)} bytes; REP's end at {MAX_FRAME}")
        self._id += 1
        self._method = method
        return frame

    def feed(self, data: bytes) -> Reply | None:
        """Take the next bytes."""
        if self._method is None:
            broken(f"it speaks without being asked: {_shown(data)}")
        if not self._line and 0 <= data.find(b"\n") == len(data) - 1 < MAX_FRAME:  # a whole line, and nothing else
            method, self._method = self._method, None
            return _reply(data, self._id, method)
        start = len(self._line)
        self._line += data
        end = self._line.find(b"\n", start)
        if (end if end >= 0 else len(self._line)) > MAX_FRAME:
            broken(f"its reply to {self._method} is a line of more than {MAX_FRAME} bytes")
        if end < 0:
            return None
        line, rest = bytes(self._line[:end]), bytes(self._line[end + 1 :])
        self._line.clear()
        method, self._method = self._method, None
        reply = _reply(line, self._id, method)
        if rest:
            broken(f"it says more than it was asked: {_shown(rest)}")
        return reply

    def ended(self) -> NoReturn:
        """Its output ended."""
        partly = "in the middle of" if self._line else "without"
        broken(f"it ended {partly} a reply to {self._method}")


def _reply(line: bytes, id_: int, method: str) -> Reply:
    try:
        doc = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        broken(f"its reply to {method} is not JSON in UTF-8: {_shown(line)}")
    if not isinstance(doc, dict):
        broken(f"its reply to {method} is no object: {_shown(line)}")
    if doc.get("jsonrpc") != "2.0" or "method" in doc:
        broken(f"its reply to {method} is no JSON-RPC 2.0 reply: {_shown(line)}")
    if type(doc.get("id")) is not int or doc["id"] != id_:
        broken(f"its reply to {method} has id {doc.get('id')!r}, not {id_}")
    if ("result" in doc) == ("error" in doc):
        broken(f"its reply to {method} needs either a result or an error: {_shown(line)}")
    if "error" in doc:
        return Reply(method, None, _refusal(doc["error"], line, method))
    if not isinstance(doc["result"], dict):
        broken(f"the result of {method} is no object: {_shown(line)}")
    return Reply(method, doc["result"], None)


def _refusal(error: Any, line: bytes, method: str) -> Refusal:
    found = refusal(error)
    if found is None:
        broken(f"the error of {method} needs an integer code and a message: {_shown(line)}")
    return found


def refusal(error: Any) -> Refusal | None:
    """An error object, if it is one."""
    if not isinstance(error, dict) or type(error.get("code")) is not int or not isinstance(error.get("message"), str):
        return None
    data = error.get("data")
    return Refusal(error["code"], error["message"], data if isinstance(data, dict) else {})


def capabilities(result: Mapping[str, Any]) -> Capabilities:
    """What `Runtime.Capabilities` offers."""
    version, kinds, limits = (result.get(name) for name in ("version", "step_kinds", "limits"))
    concurrency = limits.get("concurrency") if isinstance(limits, dict) else None
    lacks = [
        name
        for name, is_there in (
            ("version", isinstance(version, str) and version != ""),
            ("step_kinds", isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)),
            ("limits.concurrency", type(concurrency) is int and concurrency > 0),
        )
        if not is_there
    ]
    if lacks:
        raise CapabilitiesMismatch(f"the executor's capabilities lack a proper {' and '.join(lacks)}")
    assert isinstance(kinds, list)
    return Capabilities("proc", str(version), tuple(sorted(set(kinds))), concurrency)


def run_id(result: Mapping[str, Any]) -> str:
    """The name that the executor gave to a run: ours, most likely."""
    name = result.get("run_id")
    if not isinstance(name, str) or not name:
        broken(f"the result of {START} has no run_id")
    return name


def progress(result: Mapping[str, Any]) -> Progress:
    """What `Runtime.Poll` tells."""
    status, events, summary = result.get("status"), result.get("events"), result.get("summary")
    if not isinstance(status, str) or status not in STATUSES:
        broken(f"the result of {POLL} has status {status!r}; known are {', '.join(sorted(STATUSES))}")
    events = [] if events is None else events
    if not isinstance(events, list):
        broken(f"the events of {POLL} are no list of objects")
    for event in events:
        if not isinstance(event, dict):
            broken(f"the events of {POLL} are no list of objects")
        if not isinstance(event.get("type"), str):
            broken(f"an event of {POLL} has no type")
    if not (summary is None or isinstance(summary, dict)):
        broken(f"the summary of {POLL} is no object")
    return Progress(status, tuple(events), summary or {})


def raise_refusal(found: Refusal) -> None:
    """Raise what is no step's own failure: REP's classes of codes are our exit codes."""
    if found.is_step_failure:
        return
    kind: type[FlowError] = RepTransport if found.code == 3001 else RepInternal
    if 1000 <= found.code < 2000:
        kind = RepRefused
    details = {"code": found.code, "data": found.data}
    raise kind(f"the executor says: {found.message} (REP {found.code})", details=details)


def broken(why: str, cause: str = "Protocol", remedy: str = "") -> NoReturn:
    """The executor broke its word."""
    raise RepTransport(f"executor: {why}", remedy=remedy, details={"code": 3001, "cause": cause})


def _shown(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace").strip()
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")
