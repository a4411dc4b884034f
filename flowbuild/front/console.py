"""The console: the same events that the journal holds, as lines for a person.

Knows nothing of how states are performed. A terminal gets a live line of what runs now; anything else gets plain
lines only. States of lanes are told as one line a lane at the end, by whoever commits the bundle.

Shapes:  `--json` prints one event envelope a line, then one summary object.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from flowbuild.core.errors import DiskRefused
from flowbuild.core.event import ITEM_EVENTS, Domain, Event, StateCompleted, StateEntered, StateFailed, to_doc
from flowbuild.front.arguments import Request
from flowbuild.front.guard import silence
from flowbuild.graph.state import State, StateGraph
from flowbuild.graph.step import CONTROL
from flowbuild.run.resume import ORPHAN

# What a line says of a state: the cause, and a note when its output stayed the same.
Remark = Callable[[State, str, dict[str, str]], tuple[str, str]]

_COLORS = {"done": "32", "failed": "31", "warning": "33", "dim": "2"}


class Console:
    """Where everything that people read goes through."""

    def __init__(
        self,
        *,
        color: str = "auto",
        quiet: bool = False,
        verbose: bool = False,
        as_json: bool = False,
        out: IO[str] | None = None,
    ) -> None:
        self._out = out or sys.stdout or io.StringIO()  # there is none when descriptor 1 is closed
        if isinstance(self._out, io.TextIOWrapper):
            self._out.reconfigure(errors="backslashreplace")  # what a terminal can't show is no reason to fail
        terminal = self._out.isatty() and os.environ.get("TERM") != "dumb"
        plain = "NO_COLOR" in os.environ if color == "auto" else color == "never"
        self._is_colored = color == "always" or (terminal and not plain)
        self.is_live = terminal and not quiet and not as_json
        self.quiet, self.verbose, self.as_json = quiet, verbose, as_json
        self._progress: Progress | None = None

    def paint(self, kind: str, text: str) -> str:
        return f"\033[{_COLORS[kind]}m{text}\033[0m" if self._is_colored else text

    def line(self, text: str = "") -> None:
        """One line of the report; not printed with --quiet or --json."""
        if not self.quiet and not self.as_json:
            self._write(text)

    def always(self, text: str) -> None:
        """One line that --quiet does not take away."""
        if not self.as_json:
            self._write(text)

    def raw(self, text: str) -> None:
        """One line as it is, whatever was asked for."""
        self._write(text)

    def error(self, text: str) -> None:
        """A message for standard error."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def emit(self, doc: Any) -> None:
        """One JSON object a line, with --json only."""
        if self.as_json:
            self._write(json.dumps(doc, ensure_ascii=False, sort_keys=True))

    def follow(self, graph: StateGraph, wanted: Sequence[int], remark: Remark, way: str = "") -> Progress:
        """Begin to show one run; give its events to `show`. `way` leads from here to the workspace root."""
        self._progress = Progress(self, graph, wanted, remark, way)
        return self._progress

    def _write(self, text: str) -> None:
        self._clear()
        self._put(text + "\n")

    def status(self, text: str) -> None:
        """Replace the live line."""
        width = os.get_terminal_size(self._out.fileno()).columns if self.is_live else 80
        self._put(f"\r\033[K{text[: width - 1]}")

    def _put(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            silence()
            raise DiskRefused(f"can't write to standard output: {error.strerror}") from None

    def _clear(self) -> None:
        if self.is_live:
            self._out.write("\r\033[K")


def console(request: Request) -> Console:
    """The console that a request asks for."""
    return Console(color=request.color, quiet=request.quiet, verbose=request.verbose, as_json=request.json)


class Progress:
    """One run as it goes on."""

    def __init__(self, console: Console, graph: StateGraph, wanted: Sequence[int], remark: Remark, way: str) -> None:
        self._way = way
        self._console = console
        self._remark = remark
        self._states: dict[str, State] = {graph.states[number].id: graph.states[number] for number in wanted}
        self._wide = min(40, max((len(str(state.label)) for state in self._states.values()), default=0))
        self._running: dict[str, float] = {}
        self._captured: dict[str, dict[str, Any]] = {}
        self._outputs: dict[str, dict[str, str]] = {}
        self._keys: dict[str, str] = {}
        self._entered: dict[str, float] = {}
        self._retried: set[str] = set()
        self._caught: set[str] = set()
        self._items: dict[str, Counter[str]] = {}
        self.started = time.monotonic()
        self.performed = self.reused = self.failed = self.skipped = 0

    def show(self, events: Sequence[Event], run_id: str) -> None:
        """Show a batch of events, in order."""
        for event in events:
            if self._console.as_json:
                self._console.emit({"event": to_doc(event), "run_id": run_id})
            self._take(event)
        if self._console.is_live:
            self._console.status(self.live_line())

    def live_line(self) -> str:
        """What runs now, done, cached, failed, elapsed."""
        done = self.performed + self.reused + self.failed + self.skipped
        names = " ".join(str(self._states[state].label) for state in list(self._running)[:3])
        more = f" +{len(self._running) - 3}" if len(self._running) > 3 else ""
        failed = f", {self.failed} failed" if self.failed else ""
        elapsed = time.monotonic() - self.started
        count = f"[{done}/{len(self._states)}] {self.performed} done, {self.reused} reused{failed}"
        return f"{count}  {elapsed:.1f} s  {names}{more}"

    def _take(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, StateEntered):
            self._entered[event.state_id] = now
        elif isinstance(event, Domain):
            self._take_domain(event)
        elif isinstance(event, StateFailed) and event.state_id in self._retried:
            self._retried.discard(event.state_id)
        elif isinstance(event, StateFailed) and event.error["info"]["code"] == ORPHAN.code:
            self._show_step("again  ", event.state_id, "the kill cut its attempt off")
        elif isinstance(event, StateFailed):
            self.failed += 1
            self._running.pop(event.state_id, None)
            self._show_failure(self._states[event.state_id], event)
        elif isinstance(event, StateCompleted) and event.state_id in self._running:
            self.performed += 1
            self._show_done(self._states[event.state_id], now - self._running.pop(event.state_id))

    def _take_domain(self, event: Domain) -> None:
        payload = dict(event.payload)
        state_id = payload.get("state_id", "")
        if event.name == "reused":
            self.reused += 1
        elif event.name == "skipped":
            self.skipped += 1
            self._show_skipped(payload)
        elif event.name == "action_bound":
            self._running[state_id] = self._entered[state_id]
            self._keys[state_id] = payload["action"]
            self._items[state_id] = Counter(all=payload.get("items", 0))
        elif event.name == "output_captured":
            self._captured[state_id] = payload
        elif event.name == "outcome_recorded":
            self._outputs[state_id] = payload["outputs"]
        elif event.name in ITEM_EVENTS:
            self._items[state_id][event.name] += 1
        elif event.name == "attempt_failed":
            self._show_retry(state_id, payload)
        elif event.name == "step_failed":
            self._caught.add(state_id)
            self._show_step("caught ", state_id, payload["error"]["message"])
        elif event.name == "not_remembered" and payload["reason"]:
            word = self._console.paint("warning", "warning")
            text = f"  {word} {payload['label']}: {payload['reason']}; its result is not remembered"
            self._console.always(text)

    def _show_retry(self, state_id: str, payload: Mapping[str, Any]) -> None:
        item = f"item {payload['item']}, " if "item" in payload else ""
        if not item:  # else the state itself has not failed
            self._retried.add(state_id)
        self._show_step("retry  ", state_id, f"{item}attempt {payload['attempt'] + 1}: {payload['message']}")

    def _show_skipped(self, payload: dict[str, Any]) -> None:
        """A line for what its tag, or that of what it needs, left out; of steps that no way leads to there are many."""
        why = f"tag {payload['tag']}" if "tag" in payload else f"needs {payload['needs']}" if "needs" in payload else ""
        if why:
            self._console.line(f"  {'skipped':<7} {payload['label']!s:<{self._wide}}  {why}")

    def _show_step(self, word: str, state_id: str, message: str) -> None:
        """A line for a step that failed, and yet the flow goes on."""
        state = self._states[state_id]
        word = self._console.paint("warning", word)
        self._console.line(f"  {word} {state.label!s:<{self._wide}}  {state.title}: {message}")

    def _show_done(self, state: State, seconds: float) -> None:
        if state.id in self._caught:
            return
        if state.kind in QUIET_KINDS and not self._console.verbose:
            return
        cause, note = self._remark(state, self._keys[state.id], self._outputs.get(state.id, {}))
        word = self._console.paint("done", "done   ")
        if state.fan is not None:
            note = f"{self._count(state.id)}   {note}"
        text = f"  {word} {state.label!s:<{self._wide}}  {cause or state.title:<30} {seconds:>6.2f} s"
        self._console.line(f"{text}   {note}".rstrip())

    def _count(self, state_id: str) -> str:
        """How many items of a state were performed, of how many."""
        count = self._items[state_id]
        return f"{count['item_recorded']} of {count['all']} items"

    def _show_failure(self, state: State, event: StateFailed) -> None:
        captured, info = self._captured.get(state.id, {}), event.error["info"]
        message, *more = str(info["message"]).splitlines() or [""]
        message = message if state.step is None else f"{state.title}: {message}"
        lines = [f"  {self._console.paint('failed', 'failed ')} {state.label!s:<{self._wide}}  {message}"]
        lines += [f"    {line}" for line in more]
        lines += [f"    {line}" for line in str(captured.get("stderr_tail") or "").rstrip("\n").splitlines()[-20:]]
        if captured.get("reproduce"):
            log = self._from_here(captured["log"]) if captured.get("log") else "it printed nothing"
            lines.append(f"    {'log':<10} {log}")
            directory = self._from_here(captured["reproduce"].removeprefix("cd "))
            lines.append(f"    {'reproduce':<10} cd {directory}")
        self._console.always("\n".join(lines))

    def _from_here(self, path: str) -> str:
        """A path from the workspace root, as it is reached from where the user stands."""
        return path if path.startswith(("/", "'/")) else f"{self._way}{path}"


# Kinds whose states say nothing by themselves: probes are told as one line by whoever asked for them.
QUIET_KINDS = CONTROL | {"probe"}
