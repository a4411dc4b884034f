"""What every engine keeps to, asked of every engine: ours, the scripted one, and a toy that knows three lines of it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import digest
from flowbuild.core.event import Domain
from flowbuild.engine.engine import Capabilities, Engine, Io, Performance, Wait
from flowbuild.engine.proc import ProcEngine, one_node
from flowbuild.engine.process import drive
from flowbuild.engine.python import PythonEngine
from flowbuild.run.io import RunIo
from flowbuild.store.cas import Cas
from flowbuild.store.tree import Artifact, intact
from flowbuild.testing import ScriptedEngine

CLOSING_SECONDS = 5.0
REP_SECONDS = 6.0  # REP gives the other side all of the five


class ToyEngine:
    """One step kind: `echo` writes a text; a text of `fail` fails, and `wait` waits for a pipe that never speaks."""

    capabilities = Capabilities("toy", "7", ("echo",), concurrency=1)

    def perform(self, action: Action, io: Io) -> Performance:
        text = action.with_["text"]
        yield Domain("echoed", {"text": text})
        if text == "wait":
            reading, writing = os.pipe()
            try:
                yield Wait((reading,), time.monotonic() + 60)
            finally:
                os.close(reading)
                os.close(writing)
        if text == "fail":
            return Outcome(error=ErrorInfo("failed", "it was asked to"))
        place = io.scratch(action) / "o"
        place.write_text(text)
        return Outcome({"o": io.collect(place) or {}})

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Case:
    """An engine, and actions of it that write `hello`, fail, and wait for long. None where it can't."""

    make: Callable[[], Engine]
    good: tuple[str, Mapping[str, Any]]
    bad: tuple[str, Mapping[str, Any]]
    slow: tuple[str, Mapping[str, Any]] | None = None
    holds: bytes = b"hello"
    closes_in: float = CLOSING_SECONDS


def said(action: Action) -> Outcome:
    return Outcome(error=ErrorInfo("failed", "it was asked to"))


def shell(script: str) -> tuple[str, Mapping[str, Any]]:
    return "exec", {"script": script, "stage": True}


HELLO = shell("printf hello > out/bin/t/o")
SLOW = shell("echo $$ > pid; trap '' TERM; sleep 60 & echo $! >> pid; wait")

# An executor whose one step kind is said by what it gets: its result is that, or it fails, or it never ends.
EXECUTOR = """
import os, subprocess
from flowbuild.rep import StepFailed, serve

def step(with_, context):
    if with_.get("fail"):
        raise StepFailed("it was asked to")
    if with_.get("wait"):
        child = subprocess.Popen(["sleep", "60"])
        open("pid", "w").write(f"{os.getpid()} {child.pid}")
        child.wait()
    return with_

serve({"step": step})
"""


def proc() -> Engine:
    return ProcEngine((sys.executable, "-c", EXECUTOR), cwd=Path(tempfile.mkdtemp()), timeout=60)


CASES = {
    "python: exec": Case(PythonEngine, HELLO, shell("exit 3"), SLOW),
    "python: write": Case(PythonEngine, ("write", {"content": "hello"}), shell("exit 3")),
    "proc": Case(
        proc,
        ("step", {"say": "hello"}),
        ("step", {"fail": True}),
        ("step", {"wait": True}),
        b'{"say":"hello"}',
        REP_SECONDS,
    ),
    "proc: ir": Case(
        proc,
        ("ir", {"ir": one_node("step", {}), "inputs": {}}),
        ("ir", {"ir": one_node("step", {"fail": True}), "inputs": {}}),
        None,
        b'{"status":"completed","summary":{"completed_steps":1,"failed_steps":0,"result":{}}}',
    ),
    "scripted": Case(lambda: ScriptedEngine({"//:t": "hello", "//:bad": said}), ("write", {}), ("write", {})),
    "toy": Case(ToyEngine, ("echo", {"text": "hello"}), ("echo", {"text": "fail"}), ("echo", {"text": "wait"})),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def engine(case: Case) -> Iterator[Engine]:
    made = case.make()
    yield made
    made.close()


@pytest.fixture
def cas(tmp_path: Path) -> Cas:
    return Cas(tmp_path / "cas")


@pytest.fixture
def io(tmp_path: Path, cas: Cas) -> RunIo:
    (tmp_path / "ws").mkdir()
    return RunIo(tmp_path / "ws", ("/usr/local/bin", "/usr/bin", "/bin"), cas, tmp_path / "run")


def action(what: tuple[str, Mapping[str, Any]], label: str = "//:t") -> Action:
    doc = {"step_kind": what[0], "with": dict(what[1])}
    return Action(digest(doc), doc, label, f"{label[3:]}.main.x", "", outputs={"o": "out/bin/t/o"})


def steps(performance: Performance) -> Iterator[object]:
    """Everything that a performance yields; its waits are really waited for."""
    seen: list[object] = []

    def watched() -> Any:
        ready = None
        while True:
            try:
                step = performance.send(ready)
            except StopIteration:
                return
            seen.append(step)
            ready = (yield step) if isinstance(step, Wait) else None

    drive(watched())
    return iter(seen)


def test_capabilities_do_not_change(case: Case) -> None:
    first, second = case.make(), case.make()
    assert first.capabilities == first.capabilities == second.capabilities
    assert first.capabilities.digest == digest(first.capabilities.doc()) == second.capabilities.digest
    first.close()
    second.close()


def test_it_performs_only_what_it_says(case: Case, engine: Engine) -> None:
    assert {case.good[0], case.bad[0]} <= set(engine.capabilities.step_kinds)


def test_it_yields_events_and_waits_only(case: Case, engine: Engine, io: RunIo) -> None:
    for what in (case.good, case.bad):
        for step in steps(engine.perform(action(what), io)):
            assert isinstance(step, Wait | Domain)


def perform(engine: Engine, what: Action, io: RunIo) -> Outcome:
    return drive(skipping_events(engine.perform(what, io)))


def skipping_events(performance: Performance) -> Any:
    ready = None
    while True:
        try:
            step = performance.send(ready)
        except StopIteration as end:
            return end.value
        ready = (yield step) if isinstance(step, Wait) else None


def test_outputs_are_in_the_store(case: Case, engine: Engine, io: RunIo, cas: Cas) -> None:
    outcome = perform(engine, action(case.good), io)
    assert outcome.ok
    assert list(outcome.outputs) == ["o"]
    artifact = Artifact.from_doc(outcome.outputs["o"])
    assert intact(cas, artifact)
    assert cas.read(artifact.sha256) == case.holds


def test_the_same_action_comes_to_the_same(case: Case, engine: Engine, io: RunIo) -> None:
    first, second = (perform(engine, action(case.good), io) for _ in range(2))
    assert [doc["sha256"] for doc in first.outputs.values()] == [doc["sha256"] for doc in second.outputs.values()]


def test_a_failing_action_is_an_outcome(case: Case, engine: Engine, io: RunIo) -> None:
    outcome = perform(engine, action(case.bad, "//:bad"), io)
    assert not outcome.ok
    assert outcome.error is not None
    assert outcome.error.message
    assert outcome.outputs == {}
    assert digest(outcome.error.doc())  # it is JSON


def test_closing_before_the_first_step_is_nothing(case: Case, engine: Engine, io: RunIo) -> None:
    engine.perform(action(case.good), io).close()


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.slow], ids=["python: exec", "proc", "toy"])
@pytest.mark.parametrize("interrupts", [True, False])
def test_closing_ends_what_was_started_in_time(case: Case, engine: Engine, io: RunIo, interrupts: bool) -> None:
    assert case.slow is not None
    what = action(case.slow)
    performance = engine.perform(what, io)
    directory = engine._cwd if isinstance(engine, ProcEngine) else Path(io._directory)
    pids = begin(performance, directory, what)
    if interrupts:
        engine.interrupt()
    started = time.monotonic()
    performance.close()
    assert time.monotonic() - started < case.closes_in
    assert [pid for pid in pids if is_alive(pid)] == []


def begin(performance: Performance, directory: Path, what: Action) -> list[int]:
    """Pull until it has nothing to do but wait, and its two processes have said who they are, if it has any."""
    ready = None
    while True:
        step = performance.send(ready)
        if not isinstance(step, Wait):
            ready = None
            continue
        if what.kind == "echo":
            return []
        for _ in range(20):
            found = [path for path in directory.rglob("pid") if len(path.read_text().split()) == 2]
            if found:
                return list(map(int, found[0].read_text().split()))
            time.sleep(0.01)
        ready = ()


def is_alive(pid: int) -> bool:
    """Whether a process runs. Zombies do not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_kinds_of_the_python_engine_are_all_performed() -> None:
    engine = PythonEngine()
    assert set(engine._table) == set(engine.capabilities.step_kinds)
