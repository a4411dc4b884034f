"""Event profiles: less or more in the journal, and every fold of it says the same.

Seed 001: 001-05.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.store.journal import read
from flowbuild.testing import Space

PROFILES = ("minimal", "normal", "verbose", "custom:page_read,attempt_failed")
BUILD = """
targets:
  page: {rule: python, handler: "steps.py:page", outputs: {o: o}, retry: {attempts: 2}, writes: [count]}
  after: {rule: python, handler: "steps.py:after", inputs: {page: ":page"}, outputs: {o: o}, reads: [count]}
  bad: {rule: python, handler: "steps.py:bad", outputs: {o: o}, after: [":after"]}
  run: {rule: run, targets: [":after"]}
  failing: {rule: run, targets: [":bad"]}
"""
STEPS = """
import os, time
from flowbuild.io import HandlerFailed

def page(o, io, emit, context):
    first = io.record_value("first", io.now_millis() * 0 + 7)
    emit("page_read", {"bytes": 10})
    emit("row", {"n": 1})
    context.write("count", 1)
    if io.get_recorded_fact("tried") is None:
        io.record_value("tried", True)
        raise HandlerFailed("busy", retryable=True)
    o.write_text("page")

def after(page, o, context):
    o.write_text(page.read_text() + str(context.read("count")))
    while os.path.exists(WAIT):
        time.sleep(0.01)

def bad(o):
    raise ValueError("no")
"""
EXTRA = {
    "minimal": set[str](),
    "normal": {"page_read", "row", "attempt_failed", "output_captured"},
    "verbose": {"page_read", "row", "attempt_failed", "output_captured", "state_timed"},
    "custom:page_read,attempt_failed": {"page_read", "attempt_failed"},
}


def written(root: Path, profile: str) -> Space:
    space = Space(root / "w")
    space.write("flowbuild.yaml", f"run: {{event_profile: '{profile}'}}\n")
    space.write("BUILD.yaml", BUILD)
    space.write("steps.py", f"WAIT = ''\n{STEPS}")
    return space


def journal(space: Space, target: str) -> Path:
    (run,) = (path for path in (space.root / "out" / target).iterdir() if path.is_dir())
    return run / "journal.jsonl"


def names(path: Path) -> set[str]:
    return {one["event"]["Domain"]["name"] for one in read(path) if "Domain" in one["event"]}


def stripped(value: Any) -> Any:
    """A document without what differs from run to run."""
    odd = ("run_id", "bundle", "seq", "started_ms", "took_ms", "path", "run", "performed_in", "generated_at")
    if isinstance(value, dict):
        return {name: stripped(one) for name, one in value.items() if name not in odd}
    return [stripped(one) for one in value] if isinstance(value, list) else value


def said(space: Space, *words: str) -> list[Any]:
    ran = space.run(*words, "--json")
    return [ran.code, *(stripped(json.loads(line)) for line in ran.out.splitlines())]


def folds(space: Space) -> dict[str, Any]:
    """Everything that is said of the runs afterwards."""
    return {
        "show": said(space, "runs", "show", "//:run"),
        "summary": stripped(json.loads((journal(space, "run").parent / "summary.json").read_text())),
        "replay": said(space, "runs", "replay", "//:run"),
        "why": said(space, "why", "//:after"),
        "list": said(space, "runs", "list"),
        "validate": said(space, "bundle", "validate", str(journal(space, "run").parent)),
        "failed": said(space, "runs", "show", journal(space, "failing").parent.name),
    }


def test_every_fold_says_the_same_under_every_profile(tmp_path: Path) -> None:
    found = {}
    for profile in PROFILES:
        space = written(tmp_path / profile.partition(":")[0], profile)
        assert space.run("//:run").code == 0
        assert space.run("//:failing").code == 1
        told = names(journal(space, "run")) | names(journal(space, "failing"))
        assert EXTRA[profile] == told & EXTRA["verbose"]
        found[profile] = folds(space)
    one = found["normal"]
    assert one["show"][0] == one["replay"][0] == one["why"][0] == one["validate"][0] == 0
    assert one["failed"][1]["states"]["failed"][0]["error"]["message"].endswith("no")
    for profile, folded in found.items():
        assert folded == one, profile


@pytest.mark.parametrize("profile", PROFILES)
def test_a_killed_run_goes_on_under_every_profile(tmp_path: Path, profile: str) -> None:
    space, wait = written(tmp_path, profile), tmp_path / "wait"
    wait.touch()
    space.write("steps.py", f"WAIT = {str(wait)!r}\n{STEPS}")
    process = space.start("//:run", "-j1")
    deadline = time.monotonic() + 60
    while not any(
        "after_" in json.dumps(one) for path in space.root.glob("out/run/*/journal.jsonl") for one in read(path)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait.unlink()
    ran = space.run("//:run")
    assert ran.code == 0
    assert "going on with run" in ran.out
    (path,) = space.root.glob("out/run/*/journal.jsonl")
    entered = [
        one["event"]["Kernel"]["StateEntered"] for one in read(path) if "StateEntered" in one["event"].get("Kernel", {})
    ]
    assert [(one["state_id"].partition("_")[0], one["attempt"]) for one in entered] == [
        ("page", 0), ("page", 1), ("after", 0), ("after", 1),
    ]  # fmt: skip
