"""Executors for tests: one that keeps to REP, of which a few lines are replaced."""

from __future__ import annotations

import selectors
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from flowbuild.core.action import Action, Outcome
from flowbuild.engine.engine import Performance, Wait
from flowbuild.engine.proc import ProcEngine
from flowbuild.engine.process import drive

BODY = """
import json, os, signal, subprocess, sys, time

OFFER = {"version": "1.0.0", "step_kinds": ["a", "b"], "limits": {"concurrency": 1}}

def say(raw):
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()

def frame(id, **what):
    return json.dumps({"jsonrpc": "2.0", "id": id, **what}).encode() + b"\\n"

def reply(id, result):
    say(frame(id, result=result))

def refuse(id, code, **data):
    say(frame(id, error={"code": code, "message": "no", "data": data}))

def capabilities(id, params):
    reply(id, OFFER)

def start(id, params):
    reply(id, {"run_id": params["options"]["run_id"]})

def poll(id, params):
    reply(id, {"status": "completed", "events": [], "summary": {"result": {"done": True}}})

def cancel(id, params):
    reply(id, {"ok": True})

HERE
methods = {"Capabilities": capabilities, "StartRun": start, "Poll": poll, "Cancel": cancel}
for line in sys.stdin.buffer:
    request = json.loads(line)
    methods[request["method"].removeprefix("Runtime.")](request["id"], request["params"])
"""


def write_peer(directory: Path, replaced: str = "", name: str = "peer.py") -> tuple[str, ...]:
    """The argv of an executor in which these lines replace some of a proper one's."""
    path = directory / name
    path.write_text(BODY.replace("HERE\n", dedent(replaced) + "\n"))
    return sys.executable, str(path)


def perform(engine: ProcEngine, action: Action, io: Any) -> tuple[Outcome, list[dict[str, Any]]]:
    """What an action comes to, and what the executor told on the way."""
    told: list[dict[str, Any]] = []

    def waits(performance: Performance) -> Any:
        ready = None
        while True:
            try:
                step = performance.send(ready)
            except StopIteration as end:
                return end.value
            if isinstance(step, Wait):
                ready = yield step
            else:
                told.append(step.payload["event"])  # type: ignore[union-attr]
                ready = None

    return drive(waits(engine.perform(action, io))), told


def together(*performances: Performance, until: float | None = None) -> Iterator[int]:
    """Pump several in turn, as an evaluator does, to their ends or for some time; the number of each that ends."""
    selector = selectors.DefaultSelector()
    waits = {number: Wait(()) for number in range(len(performances))}
    ready: dict[int, list[int]] = {number: [] for number in waits}
    while waits and (until is None or time.monotonic() < until):
        now = time.monotonic()
        late = {n for n, wait in waits.items() if wait.deadline is not None and wait.deadline <= now}
        for number in sorted({*ready, *late}):
            before, send = waits.pop(number), tuple(ready.get(number, ())) or None
            try:
                while not isinstance(step := performances[number].send(send), Wait):
                    send = None
                waits[number] = step
            except StopIteration:
                step = Wait(())
                yield number
            # As the evaluator does: what did not change is not registered again.
            for descriptor in set(before.descriptors) - set(step.descriptors):
                selector.unregister(descriptor)
            for descriptor in set(step.descriptors) - set(before.descriptors):
                selector.register(descriptor, selectors.EVENT_READ, number)
        limits = [wait.deadline for wait in waits.values() if wait.deadline is not None] + ([until] if until else [])
        ready = {}
        for key, _ in selector.select(max(0.0, min(limits) - time.monotonic()) if limits else None) if waits else ():
            ready.setdefault(key.data, []).append(key.fd)
    selector.close()
