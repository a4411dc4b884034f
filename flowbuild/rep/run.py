"""One run of a flow by handlers: retries, time-outs, events, cancelling.

Knows nothing of REP's messages. Whoever performs the run and whoever asks about it are different threads.

Shapes:  events `{"type": "step" | "log", "timestamp", "step_id", ...}`, as REP v0.1 says.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flowbuild.rep.flow import Flow, Handler, StepFailed, follow

encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class Stopped(Exception):
    """The run is over before its steps are: it was cancelled, or the flow's time is up. No edge leads on from that."""


class Context:
    """What a handler may know and tell."""

    def __init__(self, run: Run, step_id: str, kind: str, attempt: int) -> None:
        self.run_id = run.run_id
        self.step_id = step_id
        self.kind = kind
        self.attempt = attempt
        self._run = run
        self.gave_up = False  # its time was over, and nobody waits for it

    def log(self, message: str, level: str = "info") -> None:
        """Tell whoever watches the run."""
        self._run.tell("log", level=str(level), message=str(message), step_id=self.step_id)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more. A handler that takes long should look."""
        return self.gave_up or self._run.cancel.is_set()

    def sleep(self, seconds: float) -> bool:
        """Wait; True when the run was cancelled meanwhile."""
        return self._run.cancel.wait(seconds)


class Run:
    """A run from StartRun to its last Poll."""

    def __init__(self, run_id: str, flow: Flow, inputs: Mapping[str, Any], handlers: Mapping[str, Handler]) -> None:
        self.run_id = run_id
        self.status = "pending"
        self.summary: dict[str, Any] = {"run_id": run_id, "completed_steps": 0, "failed_steps": 0}
        self.cancel = threading.Event()
        self._flow = flow
        self._inputs = inputs
        self._handlers = handlers
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._deadline: float | None = None

    def perform(self) -> None:
        """Perform it to its end. Never raises."""
        self.status = "running"
        if self._flow.timeout_ms:
            self._deadline = time.monotonic() + self._flow.timeout_ms / 1000
        try:
            state = follow(self._flow, self._inputs, self._step)
            self.summary["result"] = state.current
            if len(self._flow.nodes) > 1:
                self.summary |= {"state": state.doc(), "skipped_steps": len(state.skipped)}
            status = "completed"
        except Stopped as stopped:
            self.summary["error"] = {"code": 2001, "message": str(stopped), "data": {"retriable": False}}
            status = "failed"
        except StepFailed as failure:
            data = {"retriable": failure.retriable, **failure.details}
            self.summary["error"] = {"code": 2001, "message": failure.message, "data": data}
            status = "failed"
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.summary["error"] = {"code": 3002, "message": f"{type(error).__name__}: {error}", "data": {}}
            status = "failed"
        self.status = status

    @property
    def is_over(self) -> bool:
        """Whether its status is final; the summary is, then."""
        return self.status in ("completed", "failed")

    def tell(self, type_: str, **fields: Any) -> None:
        """Add an event."""
        seconds, ms = divmod(time.time_ns() // 1_000_000, 1000)
        timestamp = f"{_second(seconds)}.{ms:03}Z"
        with self._lock:
            self._events.append({"type": type_, "timestamp": timestamp, **fields})

    def drain(self) -> list[dict[str, Any]]:
        """The events since the last time."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def _step(self, node: Mapping[str, Any], with_: Any) -> Mapping[str, Any]:
        """One node, as often as its retries allow."""
        id_, retry = node["id"], node["retry"]
        for attempt in range(retry["max"] + 1):
            self._go_on()
            self.tell("step", step_id=id_, state="started", attempt=attempt)
            try:
                result = self._attempt(node, with_, attempt)
            except StepFailed as failure:
                self.tell("step", step_id=id_, state="failed", attempt=attempt, message=failure.message)
                if failure.retriable and attempt < retry["max"]:
                    self.cancel.wait(retry["backoff_ms"] / 1000)
                    continue
                self.summary["failed_steps"] += 1
                failure.details = {"step_id": id_, "attempt": attempt, "details": failure.details}
                raise
            self.summary["completed_steps"] += 1
            self.tell("step", step_id=id_, state="succeeded", attempt=attempt)
            return result
        raise AssertionError("the last attempt returns or raises")

    def _go_on(self) -> None:
        """Nothing, or Stopped."""
        if self.cancel.is_set():
            raise Stopped("cancelled")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise Stopped(f"the flow timed out after {self._flow.timeout_ms} ms")

    def _attempt(self, node: Mapping[str, Any], with_: Any, attempt: int) -> Mapping[str, Any]:
        """One call of a handler, in the time that it has."""
        context = Context(self, node["id"], node["type"], attempt)
        limits = [node["timeout_ms"] / 1000] if node["timeout_ms"] else []
        if self._deadline is not None:
            limits.append(max(0.0, self._deadline - time.monotonic()))
        if not limits:
            return _call(self._handlers[node["type"]], with_, context)
        try:
            return _within(min(limits), self._handlers[node["type"]], with_, context)
        except StepFailed:
            self._go_on()
            raise


@lru_cache(1)
def _second(seconds: int) -> str:
    """A second as RFC 3339 has it, without its end."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _call(handler: Handler, with_: Any, context: Context) -> Mapping[str, Any]:
    try:
        result = handler(with_, context)
    except StepFailed:
        raise
    except (Exception, SystemExit) as error:  # to leave is the client's to say
        traceback.print_exc(file=sys.stderr)
        raise StepFailed(f"{type(error).__name__}: {error}") from None
    if not isinstance(result, dict):
        raise StepFailed(f"the handler returned {type(result).__name__}, not an object", retriable=False)
    try:
        encode(result)
    except (TypeError, ValueError) as error:
        raise StepFailed(f"the handler returned what is no JSON: {error}", retriable=False) from None
    return result


def _within(seconds: float, handler: Handler, with_: Any, context: Context) -> Mapping[str, Any]:
    """A call that is given up when its time is over. Its thread goes on until it looks at `context.cancelled`."""
    came: list[Mapping[str, Any] | StepFailed] = []

    def body() -> None:
        try:
            came.append(_call(handler, with_, context))
        except StepFailed as failure:
            came.append(failure)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(seconds)
    if not came:
        context.gave_up = True
        raise StepFailed(f"timed out after {round(seconds * 1000)} ms")
    if isinstance(came[0], StepFailed):
        raise came[0]
    return came[0]
