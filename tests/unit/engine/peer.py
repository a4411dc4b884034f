"""Executors for tests: one that keeps to REP, of which a few lines are replaced."""

from __future__ import annotations

import sys
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


def together(*performances: Performance) -> Iterator[int]:
    """Pump several in turn, as an evaluator does; the number of each that ends."""
    import selectors
    import time

    left = {number: (performance, None) for number, performance in enumerate(performances)}
    waits: dict[int, Wait] = {}
    for number in left:
        waits[number] = next(
            step for step in iter(lambda n=number: left[n][0].send(None), None) if isinstance(step, Wait)
        )
    while waits:
        selector = selectors.DefaultSelector()
        for number, wait in waits.items():
            for descriptor in wait.descriptors:
                selector.register(descriptor, selectors.EVENT_READ, number)
        deadlines = [wait.deadline for wait in waits.values() if wait.deadline is not None]
        limit = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        ready: dict[int, list[int]] = {}
        for key, _ in selector.select(limit):
            ready.setdefault(key.data, []).append(key.fd)
        selector.close()
        now = time.monotonic()
        late = {n for n, wait in waits.items() if wait.deadline is not None and wait.deadline <= now}
        for number in sorted({*ready, *late}):
            send: Any = tuple(ready.get(number, ()))
            try:
                while not isinstance(step := left[number][0].send(send), Wait):
                    send = None
                waits[number] = step
            except StopIteration:
                del waits[number]
                yield number
