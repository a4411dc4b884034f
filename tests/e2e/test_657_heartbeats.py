"""Heartbeats: a handler that works long says so; one that falls silent is stopped, as by its time-out."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.store.journal import read
from flowbuild.testing import Space

BUILD = """
targets:
  toil: {rule: python, handler: "steps.py:WHICH", outputs: {o: o}, heartbeat_timeout: 1, MORE}
"""
STEPS = """
import time, pathlib

def beating(o, io):
    for n in range(16):
        io.heartbeat({"page": n})
        time.sleep(0.1)
    o.write_text("done")

def telling(o, emit):
    for n in range(16):
        emit.heartbeat()
        time.sleep(0.1)
    o.write_text("done")

def asking(o, io):
    for n in range(16):
        io.get_recorded_fact("k")
        time.sleep(0.1)
    o.write_text("done")

def silent(o, io):
    print("begun", flush=True)
    io.heartbeat()
    time.sleep(60)

def waiting(o, io):
    pathlib.Path(o).write_text("done")
    io.call("exec", {"kind": "run_program_v1", "program_path": "/bin/sh", "argv": ["-c", "sleep 1.6; echo 1"],
                     "stdin_json": None, "timeout_ms": 30000, "env": {}}, fact_key="slept")

def secret(o, io):
    io.heartbeat({"password": "x"})

def plain(o):
    o.write_text("done")
"""


def space(tmp_path: Path, which: str, more: str = "tags: []") -> Space:
    space = Space(tmp_path / "w")
    space.write("flowbuild.yaml", "io: {programs: [/bin, /usr/bin]}\nrun: {event_profile: verbose}\n")
    space.write("BUILD.yaml", BUILD.replace("WHICH", which).replace("MORE", more))
    space.write("steps.py", STEPS)
    return space


def events(space: Space) -> list[dict[str, Any]]:
    (journal,) = space.root.glob(".flowbuild/runs/*/journal.jsonl")
    return [one["event"] for one in read(journal)]


def failures(space: Space) -> list[dict[str, Any]]:
    kernel = [one["Kernel"]["StateFailed"] for one in events(space) if "StateFailed" in one.get("Kernel", {})]
    return [one["error"]["info"] for one in kernel]


@pytest.mark.parametrize("which", ["beating", "telling", "asking", "waiting"])
def test_whoever_gives_signs_of_life_works_as_long_as_it_must(tmp_path: Path, which: str) -> None:
    here = space(tmp_path, which)
    ran = here.run("//:toil")
    assert ran.code == 0, ran
    assert here.read("out/bin/toil/o") == "done"


def test_heartbeats_are_in_a_verbose_journal_and_make_no_difference(tmp_path: Path) -> None:
    here = space(tmp_path, "beating")
    here.build("//:toil")  # and what beat is remembered: it asked nobody
    beats = [one["Domain"]["payload"] for one in events(here) if one.get("Domain", {}).get("name") == "heartbeat"]
    assert beats[0]["value"] == {"page": 0}
    assert beats[0]["label"] == "//:toil"


def test_silence_is_a_failure_of_its_own(tmp_path: Path) -> None:
    here = space(tmp_path, "silent", "timeout: 50")
    ran = here.run("//:toil")
    assert ran.code == 1
    assert "the handler gave no sign of life for 1 s" in ran.out
    (failed,) = failures(here)
    assert (failed["code"], failed["retryable"]) == ("heartbeat_timeout", True)


def test_the_time_in_all_stays_the_time_out_s(tmp_path: Path) -> None:
    here = space(tmp_path, "beating", "timeout: 0.5")
    assert here.run("//:toil").code == 1
    assert [one["code"] for one in failures(here)] == ["timeout"]


def test_it_may_be_tried_again(tmp_path: Path) -> None:
    here = space(tmp_path, "silent", "retry: {attempts: 2}")
    assert here.run("//:toil").code == 1
    assert [one["code"] for one in failures(here)] == ["heartbeat_timeout"] * 2


def test_a_note_with_a_secret_is_refused(tmp_path: Path) -> None:
    here = space(tmp_path, "secret")
    assert here.run("//:toil").code == 1
    assert [one["code"] for one in failures(here)] == ["secrets_detected"]
    assert "heartbeat" not in json.dumps(
        [one for one in events(here) if "Domain" in one and one["Domain"]["name"] != "output_captured"]
    )


def test_who_can_t_give_one_is_told(tmp_path: Path) -> None:
    ran = space(tmp_path, "plain").run("//:toil")
    assert ran.code == 2
    assert "plain() can't give a sign of life: it asks for no `io`" in ran.err
    assert "BUILD.yaml:2:" in ran.err


def test_the_wait_before_another_attempt_is_cancelled(tmp_path: Path) -> None:
    here = space(tmp_path, "busy", "retry: {attempts: 2, delay_ms: 600000}")
    begun = tmp_path / "begun"
    busy = f"from flowbuild.io import HandlerFailed\ndef busy(o, io):\n    open({str(begun)!r}, 'w').close()\n"
    here.write("steps.py", busy + "    raise HandlerFailed('busy', retryable=True)\n")
    process = here.start("//:toil")
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [one["code"] for one in failures(here)] == ["cancelled"]
    assert events(here)[-1]["Kernel"]["RunCompleted"]["status"] == "Cancelled"
