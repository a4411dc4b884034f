"""Contexts across attempts and across a kill: each attempt begins with the same, and what was left is still there.

Seed 001: 001-08, 001-15, 001-28.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from flowbuild.core.canonical import digest
from flowbuild.store.journal import read
from flowbuild.testing import Space

BUILD = """
targets:
  ask:  {rule: python, handler: h.py:ask, outputs: {o: o}, writes: [at]}
  more: {rule: python, handler: h.py:more, with: {gate: "GATE"}, outputs: {o: o}, reads: [at], writes: [at, n], after: [":ask"], retry: {attempts: 3}}
  page: {rule: python, handler: h.py:page, outputs: {page: page}, reads: [n], after: [":more"]}
  report: {rule: run, targets: [":page"]}
"""
HANDLERS = """
import pathlib, time
from flowbuild.io import HandlerFailed

def ask(o, io, context):
    context.write("at", io.now_millis())
    o.write_text("")

def more(o, gate, context):
    at, tries = context.read_typed("at", int), pathlib.Path(gate, "tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    context.write("at", 0)
    context.write("n", 7)
    STOP
    o.write_text(str(at))

def page(page, context):
    page.write_text(str(context.dump()))
"""
WAIT = "while not pathlib.Path(gate, 'go').exists(): time.sleep(0.01)"
FAIL = "if len(tries.read_text()) < 2: raise HandlerFailed('busy', retryable=True)"


def written(space: Space, gate: Path, stop: str) -> Space:
    gate.mkdir()
    space.write("BUILD.yaml", BUILD.replace("GATE", str(gate)))
    space.write("h.py", HANDLERS.replace("STOP", stop))
    return space


def bundle(space: Space) -> Path:
    out = space.root / "out/report"
    return out / out.joinpath("LATEST").read_text().strip()


def entered(space: Space, target: str) -> list[str]:
    """The snapshot of each attempt at a target, as the one journal has it."""
    (path,) = space.root.glob("out/report/*/journal.jsonl")
    found = [one["event"]["Kernel"]["StateEntered"] for one in read(path) if "StateEntered" in json.dumps(one)]
    return [one["base_snapshot_id"] for one in found if one["state_id"].startswith(f"{target}_")]


def bases(space: Space, target: str) -> list[Any]:
    """The values that each attempt at a target began with."""
    return [json.loads((bundle(space) / "objects" / sha).read_text()) for sha in entered(space, target)]


def final(path: Path) -> str:
    last = json.loads((path / "journal.jsonl").read_text().splitlines()[-1])
    return str(last["event"]["Kernel"]["RunCompleted"]["final_snapshot_id"])


def test_each_attempt_begins_with_the_same(space: Space, tmp_path: Path) -> None:
    written(space, tmp_path / "gate", FAIL)
    assert space.run("//:report").code == 0
    one, two = bases(space, "more")
    assert one == two and list(one) == ["at"] and one["at"] > 0
    assert final(bundle(space)) == digest({"at": 0, "n": 7})
    assert space.run("runs", "replay", "//:report", "-v").out.count("equal") == 4


def test_a_killed_run_finds_what_its_states_left(space: Space, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    written(space, gate, WAIT)
    process = space.start("//:report")
    until = time.monotonic() + 60
    while not (gate / "tries").exists() or not entered(space, "more"):
        assert time.monotonic() < until and process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (gate / "go").touch()
    ran = space.run("//:report")
    assert ran.code == 0 and "going on with run" in ran.out, ran
    one, two = bases(space, "more")
    assert one == two and (gate / "tries").read_text() == "xx"
    assert bases(space, "page") == [{"at": 0, "n": 7}]
    assert final(bundle(space)) == digest({"at": 0, "n": 7})
    assert space.run("bundle", "validate", "//:report").code == 0
    assert space.run("runs", "replay", "//:report").code == 0
