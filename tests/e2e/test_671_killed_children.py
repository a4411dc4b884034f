"""A run and its children are killed at every event of any of their journals: the same runs go on, and end the same.

After each kill the same words are typed again: no child is begun twice, what a child had recorded stays, each handler is
called once more at most, and the artifacts and contexts are those of the undisturbed run.

Seed 001: 001-28, 001-29, 001-31.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from killing import killed, points

from flowbuild.bundle.read import load_bundle
from flowbuild.core.ids import RunId, child_run_id
from flowbuild.testing import Space

BUILD = """
targets:
  one:
    rule: python
    handler: steps.py:one
    params: {n: 1}
    with: {n: "${{ params.n }}", log: LOG}
    outputs: {o: one.txt}
    writes: [result]
  two: {rule: run, targets: [":one"]}
  both: {rule: python, handler: steps.py:both, spawns: [":one", ":two"], with: {log: LOG}, outputs: {said: said.json}}
  report: {rule: run, targets: [":both"]}
"""
STEPS = """
import json

def note(log, word):
    with open(log, "a") as file:
        file.write(f"{word}\\n")

def one(o, n, log, context, io):
    note(log, f"one{n}")
    io.random_bytes(8)  # another one, if it were not remembered
    o.write_text(f"{n}\\n")
    context.write("result", n)

def both(said, log, io):
    note(log, "both")
    first = io.await_run(io.spawn(":one", "first", params={"n": 2}))
    second = io.await_run(io.spawn(":two", "second"))
    said.write_text(json.dumps([[one.status, one.context["result"]] for one in (first, second)]))
"""
WORDS = ("//:report", "-j1")
CALLS = Counter(["both", "one2", "one1"])
SLICES = 4


def fresh(root: Path) -> Space:
    space = Space(root / "workspace")
    space.write("BUILD.yaml", BUILD.replace("LOG", str(root / "log")))
    space.write("steps.py", STEPS)
    return space


def called(root: Path) -> Counter[str]:
    return Counter((root / "log").read_text().split() if (root / "log").exists() else [])


def facts(space: Space) -> set[tuple[str, str, str]]:
    """The facts that were written whole: in which run, under which key, which payload."""
    found = []
    for path in space.root.rglob("journal.jsonl"):
        rows = [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        told = [row["event"]["Domain"] for row in rows if "Domain" in row["event"]]
        found += [(path.parent.name, one["payload"]) for one in told if one["name"] == "fact_recorded"]
    assert len(found) == len({(run_id, fact["key"]) for run_id, fact in found}), "a fact was recorded twice"
    return {(run_id, fact["key"], fact["payload_id"]) for run_id, fact in found}


def begun(directory: Path) -> list[str]:
    return [path.parent.name for path in directory.glob("*/journal.jsonl") if path.stat().st_size > 0]


def told(space: Space) -> tuple[Any, list[Any]]:
    """What the one run came to, and its children's names and ends."""
    run_id = RunId(space.root.joinpath("out/report/LATEST").read_text().strip())
    assert len(begun(space.root / "out/two")) == len(begun(space.root / ".flowbuild/runs")) == 1
    assert (space.root / ".flowbuild/runs" / child_run_id(run_id, "first")).exists()
    summary = load_bundle(space.root / "out/report" / run_id).document("summary.json")
    child = load_bundle(space.root / "out/two" / child_run_id(run_id, "second")).document("summary.json")
    states, inner = ({name: row["outputs"] for name, row in doc["states"].items()} for doc in (summary, child))
    return (states, inner), sorted((row["label"], row["status"]) for row in summary["children"])


@pytest.mark.parametrize("part", range(SLICES))
def test_children_go_on_wherever_the_program_is_killed(tmp_path: Path, part: int) -> None:
    undisturbed = fresh(tmp_path / "undisturbed")
    everywhere = points(undisturbed, *WORDS)
    assert called(tmp_path / "undisturbed") == CALLS
    whole = told(undisturbed)
    for number, (where, event) in enumerate(everywhere[part::SLICES]):
        root = tmp_path / str(number)
        space = fresh(root)
        done = killed(space, where, event, *WORDS)
        assert done.returncode == -signal.SIGKILL, (where, event, done)
        kept = facts(space)
        again = space.run(*WORDS)
        assert again.code == 0, (where, event, again)
        assert told(space) == whole, (where, event)
        calls = called(root)
        assert set(calls) == set(CALLS) and max(calls.values()) <= 2, (where, event, calls)
        assert kept <= facts(space), (where, event)
