"""`python -m benchmarks.executors`: trivial steps a second through one kept executor, beside a bare echo on two pipes.

Knows nothing of graphs. A step is a StartRun and a Poll, so it is compared with two echoes of lines as long as theirs,
by a program in the same language that does nothing else; and, as a floor, with two requests and replies of which both
sides only write and parse the JSON of a real step. Rounds are short and taken in turn, and the fastest of each counts:
whatever else the machine does can only add.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import msgspec

from benchmarks.table import machine
from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import digest
from flowbuild.engine import rep
from flowbuild.engine.engine import Performance, Wait
from flowbuild.engine.proc import ProcEngine, one_node
from flowbuild.engine.process import drive
from flowbuild.rep.mock import HANDLERS
from flowbuild.rep.server import Server
from flowbuild.run.io import RunIo
from flowbuild.store.cas import Cas

ECHO = "import sys\nfor line in sys.stdin.buffer:\n    sys.stdout.buffer.write(line)\n    sys.stdout.buffer.flush()"
# Answers the first line with the first reply, the second with the second, and so on; all of it parsed and written.
TALK = """
import itertools, json, sys
encode, decode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode, json.JSONDecoder().decode
replies = itertools.cycle(json.loads(sys.argv[1]))
for line in sys.stdin.buffer:
    decode(line.decode())
    sys.stdout.buffer.write(encode(next(replies)).encode() + b"\\n")
    sys.stdout.buffer.flush()
"""
MOCK = (sys.executable, "-m", "flowbuild.rep.mock")


def main() -> int:
    """Measure, and print the fastest rounds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.executors", description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="in each round")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="every measurement as one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flowbuild-bench-") as name:
        found = measure(Path(name), options.steps, options.rounds)
        facts = machine(Path(name)) | {"rounds": f"{options.rounds} of {options.steps} steps, the fastest by wall time"}
    if options.json:
        print(json.dumps({"machine": facts, **found}))
        return 0
    print("\n".join(f"{key}: {fact}" for key, fact in facts.items()) + "\n")
    print("\n".join(rows(found)))
    return 0


def rows(found: Mapping[str, Any]) -> list[str]:
    """What a person reads."""
    step, echo, talk = (min(found[name]) for name in ("step_s", "echo_s", "talk_s"))
    return [
        f"steps a second      {1 / step:8,.0f}",
        f"a step              {step * 1e6:8,.0f} us",
        f"two echoes          {echo * 1e6:8,.0f} us",
        f"two echoes and JSON {talk * 1e6:8,.0f} us",
        f"a step / two echoes {step / echo:8.1f}",
        f"with JSON / without {talk / echo:8.1f}",
        f"memory, all rounds  {found['grown_bytes'] / 2**20:8,.1f} MiB more",
    ]


def measure(directory: Path, steps: int, rounds: int) -> dict[str, Any]:
    """Seconds for one step, and for two echoes with and without JSON, round by round; how much our memory grew."""
    engine = ProcEngine(MOCK, cwd=directory, timeout=60)
    io = RunIo(directory, (), Cas(directory / "cas"), directory / "run")
    requests, replies = _frames()
    lines = [json.dumps(request).encode() + b"\n" for request in requests]
    with _started(ECHO) as echo, _started(TALK, json.dumps(replies)) as talk:
        tasks: dict[str, Callable[[Action], None]] = {
            "step_s": lambda action: _step(engine, io, action),
            "echo_s": lambda action: _echo(echo, lines),
            "talk_s": lambda action: _talk(talk, requests),
        }
        for task in tasks.values():  # to warm up
            task(_action(0))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found: dict[str, Any] = {name: [] for name in tasks}
        for number in range(rounds):
            actions = [_action(number * steps + n) for n in range(steps)]
            for name, task in tasks.items():
                started = time.perf_counter()
                for action in actions:
                    task(action)
                found[name].append((time.perf_counter() - started) / steps)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        for process in (echo, talk):
            assert process.stdin is not None
            process.stdin.close()
    engine.close()
    unit = 1 if sys.platform == "darwin" else 1024
    return {**found, "grown_bytes": grown * unit}


def _started(code: str, *words: str) -> Popen[bytes]:
    return Popen([sys.executable, "-c", code, *words], stdin=PIPE, stdout=PIPE, bufsize=0)


def _action(n: int) -> Action:
    doc = {"step_kind": "dsl.emit", "with": {"n": n}}
    return Action(digest(doc), doc, "//b:b", "b.main.b", "")


def _step(engine: ProcEngine, io: RunIo, action: Action) -> None:
    outcome = drive(_waits(engine.perform(action, io)))
    if not outcome.ok:
        raise SystemExit(f"the step failed: {outcome.error}")


def _waits(performance: Performance) -> Any:
    """The waits of a performance, as `drive` takes them; events are dropped."""
    ready = None
    while True:
        try:
            step = performance.send(ready)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        ready = (yield step) if isinstance(step, Wait) else None


def _frames() -> tuple[list[Any], list[Any]]:
    """The two requests of a step, and what the mock replies to them."""
    options = {"run_id": "x" * 36, "trace_id": "x" * 36, "allow_shell": False}
    start = {"ir": one_node("dsl.emit", {"n": 1}), "inputs": {}, "options": options}
    asked = ((rep.START, start), (rep.POLL, {"run_id": "x" * 36}))
    requests = [{"jsonrpc": "2.0", "id": 1, "method": method, "params": params} for method, params in asked]
    server, replies = Server(HANDLERS, "0.1.0", 1), []
    for request in requests:
        reply, run = server.answer(json.dumps(request).encode())
        replies.append(json.loads(reply or b"null"))
        if run is not None:
            run.perform()
    return requests, replies


def _echo(process: Popen[bytes], lines: Sequence[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    for line in lines:
        os.write(process.stdin.fileno(), line)
        left = len(line)
        while left:
            left -= len(os.read(process.stdout.fileno(), left))


def _talk(process: Popen[bytes], requests: Sequence[Any]) -> None:
    assert process.stdin is not None and process.stdout is not None
    for request in requests:
        os.write(process.stdin.fileno(), msgspec.json.encode(request) + b"\n")
        line = os.read(process.stdout.fileno(), 1 << 16)  # such short lines come whole
        msgspec.json.decode(line)


if __name__ == "__main__":
    sys.exit(main())
