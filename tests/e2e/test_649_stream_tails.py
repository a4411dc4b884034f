"""What the end of a killed run's journal means: the seed's table, row by row, as events that resume appends.

Seed 001: 001-27, 001-28.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flowbuild.core.canonical import sha256
from flowbuild.store.cas import Cas
from flowbuild.testing import Space

BUILD = """
targets:
  one: {rule: python, handler: "steps.py:one", outputs: {o: o.txt}, writes: [n], retry: {attempts: 1}}
  two: {rule: python, handler: "steps.py:two", with: {trouble: TROUBLE}, inputs: {given: ":one"}, outputs: {o: o.txt},
        after: [":one"], reads: [n], retry: {attempts: 2}}
  report: {rule: run, targets: [":two"]}
"""
STEPS = """
import pathlib
from flowbuild.io import HandlerFailed

def one(o, context, emit):
    emit("told", {"n": 1})
    context.write("n", 1)
    o.write_text(pathlib.Path("WORD").read_text())

def two(given, o, context, trouble):
    if pathlib.Path(trouble).exists():
        raise HandlerFailed("busy", retryable=pathlib.Path(trouble).read_text() == "once")
    o.write_text(given.read_text() + str(context.read("n")))
"""
ONE, TWO = "one", "two"
ENTERED_ONE, ENTERED_TWO = f"entered {ONE}", f"entered {TWO}"


ORPHAN = {
    "code": "orphan_attempt_recovered",
    "category": "Unknown",
    "retryable": True,
    "message": "orphaned state attempt recovered during resume",
    "details": None,
}


class Tail(NamedTuple):
    """A journal that ends after an `after`; what going on appends to it, and its exit code."""

    after: str
    appended: list[str]
    code: int = 0
    trouble: str | None = None  # why `two` failed
    time: int = 1  # the first `after`, or the second


DONE_TWO = [f"{ENTERED_TWO} 0", "completed two", "run Completed"]
DONE_ONE = ["completed one", *DONE_TWO]
TAILS = {
    "only the start": Tail("started", [f"{ENTERED_ONE} 0", *DONE_ONE]),
    "an open attempt": Tail(f"{ENTERED_ONE} 0", ["failed one orphan_attempt_recovered", f"{ENTERED_ONE} 1", *DONE_ONE]),
    "an open attempt that has said something": Tail(
        "domain told", ["failed one orphan_attempt_recovered", f"{ENTERED_ONE} 1", *DONE_ONE]
    ),
    "a failure with a try left": Tail(
        "failed two handler_failed", [f"{ENTERED_TWO} 1", "completed two", "run Completed"], trouble="once"
    ),
    "the last try is open": Tail(
        f"{ENTERED_TWO} 1",
        ["failed two orphan_attempt_recovered", f"{ENTERED_TWO} 2", "completed two", "run Completed"],
        trouble="once",
    ),
    "a failure with no try left": Tail("failed two handler_failed", ["run Failed"], code=1, trouble="once", time=2),
    "a failure for good": Tail("failed two handler_failed", ["run Failed"], code=1, trouble="for good"),
    "a completed state, and others to come": Tail("completed one", DONE_TWO),
    "all are completed": Tail("completed two", ["run Completed"]),
    "the end": Tail("run Completed", []),
    "the end of a failure": Tail("run Failed", [], code=1, trouble="for good"),
}


def told(journal: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each event in two or three words, and its fields."""
    found = []
    for line in journal.read_text().splitlines():
        event = json.loads(line)["event"]
        if "Domain" in event:
            found.append((f"domain {event['Domain']['name']}", event["Domain"]))
            continue
        ((name, fields),) = event["Kernel"].items()
        state = str(fields.get("state_id", "")).partition("_")[0]
        words = {
            "RunStarted": "started",
            "StateEntered": f"entered {state} {fields.get('attempt')}",
            "StateCompleted": f"completed {state}",
            "RunCompleted": f"run {fields.get('status')}",
        }
        code = fields["error"]["info"]["code"] if name == "StateFailed" else ""
        found.append((words.get(name, f"failed {state} {code}"), fields))
    return found


def recorded(space: Space, tmp_path: Path, trouble: str | None) -> Path:
    """A run's directory, after one that ended of itself."""
    path = tmp_path / "trouble"
    space.write("BUILD.yaml", BUILD.replace("TROUBLE", str(path)))
    space.write("steps.py", STEPS.replace("WORD", str(tmp_path / "word")))
    (tmp_path / "word").write_text("one")
    if trouble is not None:
        path.write_text(trouble)
    space.run("//:report")
    path.unlink(missing_ok=True)
    (run,) = [one for one in (space.root / "out/report").iterdir() if one.is_dir()]
    return run


def cut(space: Space, run: Path, tail: str, time: int = 1) -> Path:
    """The run as it lay on the disk when its journal ended so."""
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    ends = [count for count, (name, _) in enumerate(told(run / "journal.jsonl"), 1) if name == tail]
    count = ends[time - 1] if ends else 0
    status = json.loads((run / "run_status.json").read_text())
    shutil.rmtree(space.root / "out")
    (space.root / ".flowbuild/memo").unlink(missing_ok=True)
    run.mkdir(parents=True)
    (run / "run_status.json").write_text(json.dumps({**status, "state": "in_progress"}))
    (run / "journal.jsonl").write_bytes(b"".join(lines[:count]))
    return run / "journal.jsonl"


@pytest.mark.parametrize("name", TAILS)
def test_a_tail_of_the_table(space: Space, tmp_path: Path, name: str) -> None:
    tail = TAILS[name]
    run = recorded(space, tmp_path, tail.trouble)
    journal = cut(space, run, tail.after, tail.time)
    before = told(journal)
    assert before[-1][0] == tail.after
    ran = space.run("runs", "resume", run.name)
    assert ran.code == tail.code, ran
    after = told(journal)
    assert after[: len(before)] == before
    appended = [(said, fields) for said, fields in after[len(before) :] if not said.startswith("domain")]
    assert [said for said, _ in appended] == tail.appended
    for said, fields in appended:
        if "orphan" in said:
            assert fields["error"]["info"] == ORPHAN
        if said.startswith("entered") and not said.endswith(" 0"):  # another attempt begins where the first did
            bases = [old["base_snapshot_id"] for word, old in after if word.startswith(said[:-1])]
            assert {fields["base_snapshot_id"]} == set(bases)
    began = next(fields for said, fields in after if said.startswith("entered"))
    assert began["base_snapshot_id"] == after[0][1]["initial_snapshot_id"]
    again = space.run("runs", "resume", run.name)  # it is committed, and only told of
    assert (again.code, again.out) == (tail.code, f"{run.name[:8]} has ended: {after[-1][1]['status']}\n")
    assert told(journal) == after


def test_the_try_after_an_orphan_is_made_by_whoever_comes_next(space: Space, tmp_path: Path) -> None:
    """Killed when the orphan was closed, and the next attempt had not begun: the state may be tried once, and is."""
    run = recorded(space, tmp_path, None)
    cut(space, run, f"{ENTERED_ONE} 0")
    assert space.run("runs", "resume", run.name).code == 0
    journal = cut(space, run, "failed one orphan_attempt_recovered")
    ran = space.run("runs", "resume", run.name)
    assert ran.code == 0, ran
    ones = [said for said, _ in told(journal) if f" {ONE}" in said]
    assert ones == [f"{ENTERED_ONE} 0", "failed one orphan_attempt_recovered", f"{ENTERED_ONE} 1", "completed one"]


def lose(space: Space, data: bytes) -> None:
    """The store loses an object."""
    Cas(space.root / ".flowbuild/cas").discard(sha256(data))


@pytest.mark.parametrize(
    ("word", "appended"),
    [
        ("one", [f"{ENTERED_ONE} 1", "completed one", "run Completed"]),
        ("other", [f"{ENTERED_ONE} 1", "completed one", f"{ENTERED_TWO} 1", "completed two", "run Completed"]),
    ],
)
def test_what_the_store_has_lost_is_made_anew(space: Space, tmp_path: Path, word: str, appended: list[str]) -> None:
    """And what follows from it only if it is another now."""
    run = recorded(space, tmp_path, None)
    journal = cut(space, run, "completed two")
    lose(space, b"one")
    (tmp_path / "word").write_text(word)
    before = told(journal)
    ran = space.run("runs", "resume", run.name)
    assert ran.code == 0, ran
    after = [said for said, _ in told(journal)[len(before) :] if not said.startswith("domain")]
    assert after == appended


def test_what_the_store_has_lost_of_a_run_that_has_ended_is_not(space: Space, tmp_path: Path) -> None:
    run = recorded(space, tmp_path, None)
    journal = cut(space, run, "run Completed")
    lose(space, b"one")
    before = journal.read_bytes()
    ran = space.run("runs", "resume", run.name)
    assert (ran.code, "the run has ended, and the store has lost what //:one left" in ran.err) == (1, True), ran
    assert journal.read_bytes() == before


def test_no_events_are_no_run(space: Space, tmp_path: Path) -> None:
    run = recorded(space, tmp_path, None)
    journal = cut(space, run, "nothing")
    ran = space.run("runs", "resume", run.name)
    assert ran.code == 5 and "run_not_found" in ran.err, ran
    assert journal.read_bytes() == b""
