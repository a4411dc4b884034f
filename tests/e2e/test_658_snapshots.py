"""Snapshot policies: what a state leaves of the context when it completed, and when it failed.

Of what failed it is for people: nothing goes on from it, and it is free of secrets.

Seed 001: 001-22.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.canonical import digest
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
import json, os, pathlib, signal, time
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

def busy_once(o, context, io):
    context.write("count", context.read("count") + 1)
    if io.get_recorded_fact("began") is None:
        io.record_value("began", 1)
        raise HandlerFailed("busy", retryable=True)
    context.write("seen", ["b"])
    o.write_text("next")

def last(o, gate, context, io):
    io.now_millis()
    pathlib.Path(gate, "here").touch()
    while not pathlib.Path(gate, "go").exists():
        time.sleep(0.01)
    o.write_text(json.dumps(context.dump()))

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


# What `next` writes on success and what its last attempt had written when it failed, by policy: is there a snapshot of it?
LEAVES = {"never": (False, False), "on_success": (True, False), "always": (True, True)}


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


def kernel(journal: Path, slug: str) -> list[tuple[str, dict[str, Any]]]:
    """The kernel's events of one state, or with an empty slug of the run."""
    rows = [next(iter(one["event"]["Kernel"].items())) for one in read(journal) if "Kernel" in one["event"]]
    return [(kind, one) for kind, one in rows if one.get("state_id", "").partition("_")[0] == slug]


def bundle(space: Space) -> Path:
    (journal,) = space.root.glob("out/run/*/journal.jsonl")
    return journal.parent


@pytest.mark.parametrize("policy", LEAVES)
def test_each_policy_leaves_what_it_says(tmp_path: Path, policy: str) -> None:
    """A state that fails once and then completes: of which of the two is there a snapshot?"""
    space = Space(tmp_path / "w")
    space.write("BUILD.yaml", BUILD.replace("WHICH", "busy_once").replace("POLICY", policy))
    space.write("steps.py", STEPS)
    assert space.run("//:run").code == 0
    path = bundle(space)
    events = dict(kernel(path / "journal.jsonl", "next"))
    base = events["StateEntered"]["base_snapshot_id"]
    of_success, of_failure = (
        {"count": 2, "gone": True, "kept": None, "seen": ["b"]},
        {"count": 2, "gone": True, "kept": None},
    )
    on_success, on_failure = LEAVES[policy]
    assert events["StateCompleted"]["context_snapshot_id"] == (digest(of_success) if on_success else base)
    assert events["StateFailed"]["failure_snapshot_id"] == (digest(of_failure) if on_failure else None)
    final = dict(kernel(path / "journal.jsonl", ""))["RunCompleted"]["final_snapshot_id"]
    assert final == events["StateCompleted"]["context_snapshot_id"]
    for held in (path / "objects", space.root / ".flowbuild/cas"):
        names = {one.name for one in held.rglob("*")}
        assert (digest(of_success) in names, digest(of_failure) in names) == (on_success, on_failure)
    assert (path / "objects" / base).is_file()
    assert space.run("bundle", "validate", str(path)).code == 0
    assert space.run("runs", "replay", str(path)).code == 0
    assert space.run("//:run", "--force", "//:first").performed == 2  # it recorded a fact, so it is performed anew


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


@pytest.mark.parametrize("policy", LEAVES)
def test_what_it_wrote_goes_on_under_each_policy_and_through_a_kill_and_a_replay(
    tmp_path: Path, gate: Path, policy: str
) -> None:
    space = Space(tmp_path / "w")
    text = BUILD.replace("WHICH", "busy_once").replace("POLICY", policy).replace('[":next"]}', '[":last"]}')
    last = f'  last:  {{rule: python, handler: "steps.py:last", outputs: {{o: o}}, after: [":next"], reads: [count, seen], with: {{gate: {gate}}}}}\n'  # fmt: skip
    space.write("BUILD.yaml", text + last)
    space.write("steps.py", STEPS)
    process = space.start("//:run")
    limit = time.monotonic() + 60
    while not (gate / "here").exists():
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    (gate / "go").touch()
    ran = space.run("//:run")
    assert ran.code == 0 and "going on with run" in ran.out, ran
    path = bundle(space)
    entered = [one for kind, one in kernel(path / "journal.jsonl", "last") if kind == "StateEntered"]
    seen = {"count": 2, "gone": True, "kept": None, "seen": ["b"]}
    assert {one["base_snapshot_id"] for one in entered} == {digest(seen)}  # what it begins with is its own
    assert any(one.read_text() == json.dumps({"count": 2, "seen": ["b"]}) for one in (path / "objects").iterdir())
    assert dict(kernel(path / "journal.jsonl", ""))["RunCompleted"]["final_snapshot_id"] == digest(seen)
    replayed = space.run("runs", "replay", str(path))
    assert replayed.code == 0 and "3 equal" in replayed.out, replayed


def test_another_word_is_no_policy(tmp_path: Path) -> None:
    space = Space(tmp_path / "w")
    space.write("BUILD.yaml", BUILD.replace("WHICH", "busy").replace("POLICY", "sometimes"))
    space.write("steps.py", STEPS)
    assert space.run("//:run").code == 2
    space.write("rules/own.rule.yaml", "rule: own\nattributes: {handler: {type: handler, required: true}, when: {type: string, default: sometimes}}\noutputs: '${{ states.call.outputs }}'\nstates:\n  call: {kind: python, with: {handler: '${{ attr.handler }}', modules: [], with: {}, inline: false}, outputs: {o: o}, writes: [count, gone, kept], snapshot: '${{ attr.when }}'}\n")  # fmt: skip
    space.write("BUILD.yaml", "targets: {own: {rule: own, handler: 'steps.py:first'}}\n")
    ran = space.run("//:own")
    assert ran.code == 2 and "`snapshot` is one of never, on_success, always, not 'sometimes'" in ran.err, ran
