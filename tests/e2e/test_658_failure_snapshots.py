"""Snapshots of what failed: kept for people when they ask for it, never gone on from, and free of secrets.

Seed 001: 001-22.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from flowbuild.store.journal import read
from flowbuild.testing import Space

BUILD = """
targets:
  first: {rule: python, handler: "steps.py:first", outputs: {o: o}, writes: [count, gone, kept]}
  next:  {rule: python, handler: "steps.py:WHICH", outputs: {o: o}, after: [":first"], reads: [count],
          writes: [count, seen, gone], snapshot: POLICY, retry: {attempts: 2}}
  run:   {rule: run, targets: [":next"]}
"""
STEPS = """
import os, pathlib, signal
from flowbuild.io import HandlerFailed

def first(o, context):
    context.write("count", 1)
    context.write("gone", True)
    context.write("kept", None)
    o.write_text("first")

def busy(o, context):
    context.write("count", context.read("count") + 1)
    context.write("seen", ["a"])
    context.delete("gone")
    raise HandlerFailed("busy", retryable=True)

def secret(o, context):
    context.write("seen", "password=123")
    raise HandlerFailed("busy")

def ending(o, context):
    context.write("seen", 1)
    raise SystemExit(3)

def killing(o, context, io):
    io.record_value("begun", True)
    calls = pathlib.Path("CALLS")
    calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
    context.write("seen", calls.read_text())
    if calls.read_text() == "x":
        raise HandlerFailed("busy", retryable=True)
    if calls.read_text() == "xx":
        os.kill(os.getppid(), signal.SIGKILL)
    o.write_text("")
"""


def snapshots(tmp_path: Path, which: str, policy: str) -> list[Any]:
    """What each failed attempt left."""
    space = Space(tmp_path / "w")
    space.write("BUILD.yaml", BUILD.replace("WHICH", which).replace("POLICY", policy))
    space.write("steps.py", STEPS)
    ran = space.run("//:run")
    assert ran.code == 1, ran
    (journal,) = space.root.glob("out/run/*/journal.jsonl")
    kernel = [one["event"].get("Kernel", {}) for one in read(journal)]
    found = [one["StateFailed"]["failure_snapshot_id"] for one in kernel if "StateFailed" in one]
    entered = [one["StateEntered"]["base_snapshot_id"] for one in kernel if "StateEntered" in one]
    assert len(set(entered[1:])) == 1  # every attempt begins with the same
    assert kernel[-1]["RunCompleted"]["final_snapshot_id"] == entered[1]
    assert space.run("bundle", "validate", str(journal.parent)).code == 0
    return [None if one is None else json.loads((journal.parent / "objects" / one).read_text()) for one in found]


def test_every_attempt_that_failed_leaves_what_it_had_written(tmp_path: Path) -> None:
    assert snapshots(tmp_path, "busy", "always") == [{"count": 2, "kept": None, "seen": ["a"]}] * 2


@pytest.mark.parametrize("policy", ["never", "on_success"])
def test_else_it_leaves_nothing(tmp_path: Path, policy: str) -> None:
    assert snapshots(tmp_path, "busy", policy) == [None, None]


def test_what_looks_like_a_secret_is_not_kept(tmp_path: Path) -> None:
    assert snapshots(tmp_path, "secret", "always") == [None]


def test_what_ended_its_worker_told_nothing(tmp_path: Path) -> None:
    assert snapshots(tmp_path, "ending", "always") == [None]


def test_it_is_there_before_the_journal_names_it(tmp_path: Path) -> None:
    """The next attempt kills the build; who goes on with the run commits what the first one left, too."""
    space = Space(tmp_path / "w")
    space.write("BUILD.yaml", BUILD.replace("WHICH", "killing").replace("POLICY", "always"))
    space.write("steps.py", STEPS.replace("CALLS", str(tmp_path / "calls")))
    assert space.run("//:run").code == -signal.SIGKILL
    ran = space.run("//:run")
    assert ran.code == 0 and "going on with" in ran.out, ran
    run = space.root / "out/run" / space.read("out/run/LATEST").strip()
    left = {path.read_bytes() for path in (run / "objects").iterdir()}
    assert b'{"count":1,"gone":true,"kept":null,"seen":"x"}' in left
    assert space.run("bundle", "validate", str(run)).code == 0


def test_who_writes_nothing_has_nothing_to_keep(tmp_path: Path) -> None:
    space = Space(tmp_path / "w")
    space.write("BUILD.yaml", 'targets: {a: {rule: python, handler: "a.py:a", outputs: {o: o}, snapshot: always}}')
    space.write("a.py", "def a(o):\n    o.write_text('')\n")
    ran = space.run("//:a")
    assert (ran.code, "it writes nothing" in ran.err) == (2, True)
