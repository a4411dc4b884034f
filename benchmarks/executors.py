"""`python -m benchmarks.executors`: trivial steps a second through one kept executor, beside a bare echo on two pipes.

Knows nothing of graphs. A step is a StartRun and a Poll, so it is compared with two echoes of lines as long as theirs,
by a program in the same language that does nothing else. Rounds are short and taken in turn, and the fastest of each
counts: whatever else the machine does can only add.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from benchmarks.table import machine
from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import digest
from flowbuild.engine.engine import Performance, Wait
from flowbuild.engine.proc import ProcEngine, one_node
from flowbuild.engine.process import drive
from flowbuild.run.io import RunIo
from flowbuild.store.cas import Cas

ECHO = "import sys\nfor line in sys.stdin.buffer:\n    sys.stdout.buffer.write(line)\n    sys.stdout.buffer.flush()"
MOCK = (sys.executable, "-m", "flowbuild.rep.mock")


def main() -> int:
    """Measure, and print the fastest rounds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.executors", description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="in each round")
    parser.add_argument("--rounds", type=int, default=50)
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
    step, echo = min(found["step_s"]), min(found["echo_s"])
    return [
        f"steps a second     {1 / step:8,.0f}",
        f"a step             {step * 1e6:8,.0f} us",
        f"two echoes         {echo * 1e6:8,.0f} us",
        f"a step / two echoes {step / echo:7.1f}",
        f"memory, all rounds {found['grown_bytes'] / 2**20:8,.1f} MiB more",
    ]


def measure(directory: Path, steps: int, rounds: int) -> dict[str, Any]:
    """Seconds for one step, and for two echoes, round by round; how much our memory grew."""
    engine = ProcEngine(MOCK, cwd=directory, timeout=60)
    io = RunIo(directory, (), Cas(directory / "cas"), directory / "run")
    with Popen([sys.executable, "-c", ECHO], stdin=PIPE, stdout=PIPE, bufsize=0) as echo:
        lines = _lines()
        tasks: dict[str, Callable[[int], None]] = {
            "step_s": lambda n: _step(engine, io, n),
            "echo_s": lambda n: _echo(echo, lines),
        }
        for task in tasks.values():  # to warm up
            task(0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found: dict[str, Any] = {name: [] for name in tasks}
        for _ in range(rounds):
            for name, task in tasks.items():
                started = time.perf_counter()
                for n in range(steps):
                    task(n)
                found[name].append((time.perf_counter() - started) / steps)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert echo.stdin is not None
        echo.stdin.close()
    engine.close()
    unit = 1 if sys.platform == "darwin" else 1024
    return {**found, "grown_bytes": grown * unit}


def _step(engine: ProcEngine, io: RunIo, n: int) -> None:
    doc = {"step_kind": "dsl.emit", "with": {"n": n}}
    outcome = drive(_waits(engine.perform(Action(digest(doc), doc, "//b:b", "b.main.b", ""), io)))
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


def _lines() -> tuple[bytes, bytes]:
    """Lines as long as the two requests of a step."""
    options = {"run_id": "x" * 36, "trace_id": "x" * 36, "allow_shell": False}
    start = {"ir": one_node("dsl.emit", {"n": 1}), "inputs": {}, "options": options}
    return json.dumps(start).encode() + b"\n", json.dumps({"run_id": "x" * 36}).encode() + b"\n"


def _echo(process: Popen[bytes], lines: tuple[bytes, bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    for line in lines:
        os.write(process.stdin.fileno(), line)
        left = len(line)
        while left:
            left -= len(os.read(process.stdout.fileno(), left))


if __name__ == "__main__":
    sys.exit(main())
