"""A journal names no snapshot that isn't stored, and a bundle holds all that its journal names: wherever it was killed.

Seed 001: 001-08, 001-25.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from killing import killed

from flowbuild.core.canonical import EMPTY_CONTEXT, Digest, digest
from flowbuild.run.artifacts import artifacts
from flowbuild.store.cas import Cas
from flowbuild.store.journal import read
from flowbuild.testing import Space

BUILD = """
targets:
  one: {rule: python, handler: "h.py:one", outputs: {o: o}, writes: [x]}
  two: {rule: python, handler: "h.py:two", outputs: {o: o}, writes: [y]}
  ask: {rule: python, handler: "h.py:ask", inputs: {i: in.txt}, outputs: {o: o}, reads: [x], writes: [z],
        after: [":one", ":two"], snapshot: always, retry: {attempts: 2}}
  three: {rule: python, handler: "h.py:three", outputs: {o: o}, writes: [w]}
  more: {rule: python, handler: "h.py:more", inputs: {i: in.txt}, outputs: {o: o}, writes: [v], after: [":two", ":three"]}
  left: {rule: python, handler: "h.py:one", outputs: {o: o}, writes: [x], after: [":one", ":three"], tags: [night]}
  run: {rule: run, targets: [":ask", ":more", ":left"]}
"""
HANDLERS = """
from flowbuild.io import HandlerFailed

def one(o, context):
    context.write("x", 1)
    o.write_text("")

def two(o, context):
    context.write("y", 2)
    o.write_text("")

def three(o, context):
    context.write("w", 3)
    o.write_text("")

def more(i, o, context):
    context.write("v", 4)
    o.write_text("")

def ask(i, o, io, context):
    tries = 2 if io.get_recorded_fact("asked") else 1
    io.record_value("asked", True)
    context.write("z", tries)
    if tries == 1 or i.read_text() == "bad":
        raise HandlerFailed("busy", retryable=True)
    o.write_text("")
"""


WORDS = ("//:run", "-j1", "--skip-tag", "night")


def fresh(root: Path, text: str) -> Space:
    """What the writers come to is remembered, and the snapshots that they leave are not stored."""
    space = Space(root)
    space.write("BUILD.yaml", BUILD)
    space.write("h.py", HANDLERS)
    space.write("in.txt", text)
    assert space.run("//:one", "//:two", "//:three").code == 0
    for snapshot in ({"x": 1}, {"y": 2}, {"w": 3}):
        sha = digest(snapshot)
        space.remove(f".flowbuild/cas/{sha[:2]}/{sha}")
    return space


def bundle(space: Space) -> Path:
    (found,) = (path.parent for path in space.root.glob("out/run/*/journal.jsonl"))
    return found


def named(bundle: Path) -> set[str]:
    """The artifacts that a journal names."""
    return {one.artifact_id for one in artifacts(read(bundle / "journal.jsonl"))}


def unstored(space: Space) -> list[str]:
    """What the one journal names and the store does not have; an empty snapshot is known to everybody."""
    stored = Cas(space.root / ".flowbuild/cas")
    return [one for one in named(bundle(space)) - {EMPTY_CONTEXT} if not stored.verify(Digest(one))]


def last(bundle: Path, name: str) -> int:
    """The number of the last event of this name."""
    return max(one["seq"] for one in read(bundle / "journal.jsonl") if f'"{name}"' in json.dumps(one["event"]))


@pytest.mark.parametrize(
    ("text", "name"),
    [("good", "fact_recorded"), ("good", "StateCompleted"), ("bad", "StateFailed")],
)
def test_what_a_killed_run_named_is_there(tmp_path: Path, text: str, name: str) -> None:
    undisturbed, space = fresh(tmp_path / "undisturbed", text), fresh(tmp_path / "killed", text)
    code = undisturbed.run(*WORDS).code
    assert killed(space, "after", last(bundle(undisturbed), name), *WORDS).returncode == -signal.SIGKILL
    assert unstored(space) == []
    again = space.run(*WORDS)
    assert (again.code, "going on with run" in again.out) == (code, True)
    assert named(bundle(space)) >= {digest({"x": 1}), digest({"y": 2})}
    assert unstored(space) == []
    assert named(bundle(space)) <= {path.name for path in (bundle(space) / "objects").iterdir()}
