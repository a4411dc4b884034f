"""The executor's side of REP v0.1 over stdin and stdout.

Knows nothing of what handlers do, or of threads. It ends when its input does.

Shapes:  see docs/executors.md. Standard output belongs to the protocol: what handlers print there goes to stderr.
Source:  seed 000 `docs/rep/v0.1/spec.md`.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from flowbuild.rep.crew import Crew
from flowbuild.rep.flow import Handler, Refused, check
from flowbuild.rep.run import Run, encode

MAX_FRAME = 16 << 20
KEPT = 64  # finished runs, at least, that may still be asked about

_decode = json.JSONDecoder().decode


class Wrong(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, code: int, message: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": {"retriable": False, **(data or {})}}


class Server:
    """The runs of an executor, and the answers to requests."""

    def __init__(self, handlers: Mapping[str, Handler], version: str, concurrency: int) -> None:
        self._handlers = dict(handlers)
        self._offer = {
            "version": version,
            "step_kinds": sorted(handlers),
            "limits": {"concurrency": concurrency},
        }
        self._runs: dict[str, Run] = {}
        self._started: Run | None = None  # what is to be performed as soon as StartRun is answered
        self._table: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "Runtime.Capabilities": lambda params: self._offer,
            "Runtime.StartRun": self._start,
            "Runtime.Poll": self._poll,
            "Runtime.Cancel": self._cancel,
            "Runtime.Health": lambda params: {"ok": True, "details": {"runs": len(self._runs)}},
        }

    def answer(self, line: bytes | None) -> tuple[bytes | None, Run | None]:
        """The reply to one line, none for a notification; and a run to perform, if it started one.

        There is no line where one was too long.
        """
        if line is None:
            return _too_long(), None
        reply = self._reply(line)
        run, self._started = self._started, None
        return reply, run

    def _reply(self, line: bytes) -> bytes | None:
        id_: Any = None
        try:
            request = _request(line)
            if "id" not in request:
                return None
            id_ = request["id"]
            method = self._table.get(request["method"])
            if method is None:
                raise Wrong(-32601, f"there is no method {request['method']}")
            said = {"result": method(_object(request, "params"))}
        except Wrong as wrong:
            said = {"error": wrong.error}
        try:
            return _frame({"jsonrpc": "2.0", "id": id_, **said})
        except (TypeError, ValueError, RecursionError) as error:  # a failure whose details are anything
            message = f"the answer to {request['method']} is no JSON: {error}"
            return _frame({"jsonrpc": "2.0", "id": id_, "error": Wrong(3002, message).error})

    def _start(self, params: Mapping[str, Any]) -> dict[str, Any]:
        inputs, options = (_object(params, name) for name in ("inputs", "options"))
        run_id = options.get("run_id") or str(uuid.uuid4())
        if not isinstance(run_id, str) or run_id in self._runs:
            raise Wrong(1003, f"{run_id!r} is no id for a new run")
        try:
            flow = check(params.get("ir"), self._handlers)
        except Refused as refused:
            raise Wrong(refused.code, refused.message, {"details": refused.details}) from None
        self._runs[run_id] = self._started = Run(run_id, flow, inputs, self._handlers)
        return {"run_id": run_id}

    def _poll(self, params: Mapping[str, Any]) -> dict[str, Any]:
        run = self._runs.get(str(params.get("run_id")))
        if run is None:
            return {"status": "failed", "events": [], "summary": {"error": "unknown run"}}
        # Events after its status: what is told in between goes with this answer or the next, and never gets lost.
        status = run.status
        answer = {"status": status, "events": run.drain(), "summary": dict(run.summary)}
        if len(self._runs) > 2 * KEPT:
            self._forget()
        return answer

    def _cancel(self, params: Mapping[str, Any]) -> dict[str, Any]:
        run = self._runs.get(str(params.get("run_id")))
        if run is not None:
            run.cancel.set()
        return {"ok": run is not None}

    def _forget(self) -> None:
        """Let go of the oldest finished runs."""
        finished = [run_id for run_id, run in self._runs.items() if run.is_over]
        for run_id in finished[:-KEPT]:
            del self._runs[run_id]


def serve(handlers: Mapping[str, Handler], *, version: str = "0.1.0", concurrency: int = 1) -> None:
    """Be an executor for these step kinds, until the input ends."""
    server = Server(handlers, version, concurrency)
    # The line is ours alone: neither handlers nor programs that they start can read from it or write to it.
    reading, output, null = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    Crew(_lines(os.fdopen(reading, "rb")), server.answer, output, concurrency).work()


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines of the input; None for each that is too long."""
    while line := stream.readline(MAX_FRAME + 1):
        if line.endswith(b"\n"):
            yield line
        elif len(line) > MAX_FRAME:
            while (rest := stream.readline(MAX_FRAME)) and not rest.endswith(b"\n"):
                pass
            yield None


def _too_long() -> bytes:
    error = {"code": 3001, "message": f"a line may have {MAX_FRAME} bytes", "data": {"retriable": False}}
    return _frame({"jsonrpc": "2.0", "id": None, "error": error})


def _frame(doc: Mapping[str, Any]) -> bytes:
    return encode(doc).encode() + b"\n"


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = _decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise Wrong(3001, f"invalid JSON: {error}") from None
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise Wrong(-32600, "no JSON-RPC request")
    return request


def _object(doc: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = doc.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Wrong(1003, f"{name} is no object")
    return value
