"""The tally of a command: how each target ended, for whoever reads it when the terminal is gone.

Knows nothing of terminals or formats. A fold of the same events that the console shows; `junit` and `github` write it
down.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from flowbuild.core.event import Domain, Event, StateCompleted, StateFailed, StateStatus
from flowbuild.core.label import Label
from flowbuild.core.secrets import hide_lines
from flowbuild.graph.state import StateGraph
from flowbuild.run.result import Result, blocked_by

LOG_END = 16 << 10
"""Bytes of a log that are kept here: its end, where programs say what went wrong."""

# Of a target's states the worst one speaks for it. A test asserts that no way to end is left out.
WORST_FIRST = (
    StateStatus.FAILED,
    StateStatus.CANCELLED,
    StateStatus.NOT_STARTED,
    StateStatus.COMPLETED,
    StateStatus.REUSED,
    StateStatus.SKIPPED,
)


class Ended(NamedTuple):
    """How one target ended. `seconds` is what its states took together; `log` is the end of what it said."""

    label: Label
    status: StateStatus
    seconds: float = 0.0
    message: str = ""
    code: str = ""
    log: str = ""
    log_path: str | None = None

    @property
    def headline(self) -> str:
        return self.message.partition("\n")[0]


class _Failure(NamedTuple):
    info: dict[str, Any]
    captured: dict[str, Any]


class Tally:
    """Filled while a command goes on: `take` each batch of events, `close` each run."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._began = time.monotonic()
        self._bound: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._captured: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, _Failure] = {}
        self._status: dict[int, StateStatus] = {}
        self._guilty: dict[str, Label] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    def take(self, events: Iterable[Event]) -> None:
        """Take a batch of events, in order."""
        now = time.monotonic()
        for event in events:
            if isinstance(event, Domain) and event.name == "action_bound":  # what is reused costs nothing here
                self._bound[event.payload["state_id"]] = now
            elif isinstance(event, Domain) and event.name == "output_captured":
                self._captured[event.payload["state_id"]] = dict(event.payload)
            elif isinstance(event, StateCompleted | StateFailed):
                if event.state_id in self._bound:  # each attempt adds to those before it
                    before = self._seconds.get(event.state_id, 0.0)
                    self._seconds[event.state_id] = before + now - self._bound.pop(event.state_id)
                if isinstance(event, StateFailed):
                    captured = self._captured.pop(event.state_id, {})
                    self._failures[event.state_id] = _Failure(dict(event.error["info"]), captured)

    def close(self, graph: StateGraph, result: Result) -> None:
        """Take what a run came to. A state that two runs share counts as in the first of them."""
        self._status = {**result.status, **self._status}
        self._guilty |= {state.id: guilty.label for state, guilty in blocked_by(graph, result)}

    def ended(self, graph: StateGraph) -> list[Ended]:
        """How every target ended that anything was to be done for, in the order of the graph."""
        ways = ((label, [n for n in built.states if n in self._status]) for label, built in graph.targets.items())
        return [self._one(graph, label, numbers) for label, numbers in ways if numbers]

    def _one(self, graph: StateGraph, label: Label, numbers: Sequence[int]) -> Ended:
        status = min((self._status[number] for number in numbers), key=WORST_FIRST.index)
        ids = [graph.states[number].id for number in numbers if self._status[number] is status]
        seconds = sum(self._seconds.get(graph.states[number].id, 0.0) for number in numbers)
        if status in (StateStatus.FAILED, StateStatus.CANCELLED):
            info, captured = self._failures[ids[0]]
            path = captured.get("log")
            log = _end(os.path.join(self._root, path)) if path else str(captured.get("stderr_tail") or "")
            return Ended(label, status, seconds, str(info["message"]), str(info["code"]), hide_lines(log), path)
        if status is StateStatus.NOT_STARTED:
            guilty = next((self._guilty[one] for one in ids if one in self._guilty), None)
            return Ended(label, status, seconds, f"needs {guilty}" if guilty else "the build ended before it")
        return Ended(label, status, seconds)


def is_good(one: Ended) -> bool:
    """Whether a target has what it promises."""
    return one.status in (StateStatus.COMPLETED, StateStatus.REUSED, StateStatus.SKIPPED)


def bad(ended: Iterable[Ended]) -> Iterator[Ended]:
    """Those that failed by themselves."""
    return (one for one in ended if one.status in (StateStatus.FAILED, StateStatus.CANCELLED))


def _end(path: str) -> str:
    """The end of a log; nothing if it is gone."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_END))
            return file.read(LOG_END).decode("utf-8", "replace")
    except OSError:
        return ""
