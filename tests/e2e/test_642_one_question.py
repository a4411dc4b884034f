"""Two states that ask different things under one fact key: the second is refused, and nothing is done in its name.

A real server counts what it is told.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from counting import Told, serving

from flowbuild.testing import Space

pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")

BUILD = """
targets:
  one: {rule: python, handler: steps.py:one, outputs: {receipt: one.txt}}
  two: {rule: python, handler: steps.py:two, inputs: {before: ":one"}, outputs: {receipt: two.txt}}
  report: {rule: run, targets: [":two"]}
"""
STEPS = """
def post(receipt, io, body, key):
    request = {"method": "POST", "url": "URL", "body": body}
    receipt.write_text(io.call("http", request, fact_key=key).response["body"])

def one(receipt, io):
    post(receipt, io, "pay the first", "receipt")

def two(before, receipt, io):
    post(receipt, io, "pay the second", "receipt")
"""


@pytest.fixture
def deeds(space: Space) -> Iterator[Space]:
    Told.bodies = []
    space.write("BUILD.yaml", BUILD)
    with serving(Told) as url:
        space.write("steps.py", STEPS.replace("URL", url))
        yield space


def rewrite(space: Space, old: str, new: str) -> None:
    text = (space.root / "steps.py").read_text()
    assert old in text
    space.write("steps.py", text.replace(old, new))


def test_the_second_question_under_a_key_is_refused_and_not_sent(deeds: Space) -> None:
    failed = deeds.run("//:report")
    assert (failed.code, Told.bodies) == (1, ["pay the first"]), failed
    said = failed.out + failed.err
    assert "'receipt'" in said and "of //:one" in said
    (journal,) = deeds.root.glob("out/report/*/journal.jsonl")
    assert '"code":"fact_request_conflict"' in journal.read_text()
    assert "give each question a fact key of its own" in said
    again = deeds.run("runs", "replay", str(journal.parent))
    assert (again.code, len(Told.bodies)) == (0, 1), again
    assert "2 equal" in again.out

    rewrite(deeds, '"pay the second", "receipt"', '"pay the second", "second receipt"')
    assert deeds.run("//:report").code == 0
    assert Told.bodies[1:] == ["pay the first", "pay the second"]
    again = deeds.run("runs", "replay", "//:report")
    assert (again.code, len(Told.bodies)) == (0, 3) and "2 equal" in again.out, again


def test_two_states_that_ask_the_same_share_the_answer(deeds: Space) -> None:
    rewrite(deeds, "pay the second", "pay the first")
    assert (deeds.run("//:report").code, Told.bodies) == (0, ["pay the first"])
    again = deeds.run("runs", "replay", "//:report")
    assert again.code == 0 and "2 equal" in again.out, again


def test_a_path_in_the_directory_of_a_run_is_the_same_question_in_a_replay(deeds: Space) -> None:
    rewrite(deeds, '"pay the second", "receipt"', 'str(before.absolute()), "second"')
    assert deeds.run("//:report").code == 0
    assert str(deeds.root) in Told.bodies[1]
    again = deeds.run("runs", "replay", "//:report")
    assert again.code == 0, again


def test_a_request_that_is_never_twice_the_same_is_answered_in_a_replay(deeds: Space) -> None:
    rewrite(deeds, '"pay the second", "receipt"', '__import__("os").urandom(8).hex(), "second"')
    assert deeds.run("//:report").code == 0
    again = deeds.run("runs", "replay", "//:report")
    assert again.code == 0 and "2 equal" in again.out, again
    assert len(Told.bodies) == 2


def test_two_questions_of_one_state_are_refused_in_the_run_and_in_its_replay(deeds: Space) -> None:
    rewrite(
        deeds, '"pay the second", "receipt")', '"pay the second", "both")\n    post(receipt, io, "and tip", "both")'
    )
    assert deeds.run("//:report").code == 1
    assert Told.bodies == ["pay the first", "pay the second"]
    (journal,) = deeds.root.glob("out/report/*/journal.jsonl")
    assert '"code":"fact_request_conflict"' in journal.read_text()
    again = deeds.run("runs", "replay", str(journal.parent))
    assert again.code == 0 and "2 equal" in again.out, again


AGAIN = """
targets:
  one: {rule: python, handler: steps.py:one, outputs: {receipt: one.txt}, retry: {attempts: 3, delay_ms: 1}, DEED}
  report: {rule: run, targets: [":one"]}
"""
CLOCK = """
import os, signal, time
from pathlib import Path
from flowbuild.io import HandlerFailed

def one(receipt, io):
    request = {"method": "POST", "url": "URL", "body": f"pay once, at {time.time_ns()}"}
    said = io.call("http", request, fact_key="receipt").response["body"]
    tried = Path("TRIED").read_text() if Path("TRIED").exists() else ""
    Path("TRIED").write_text(tried + "x")
    if tried == "x" and KILLED:
        os.kill(os.getppid(), signal.SIGKILL)
    if len(tried) < 2:
        raise HandlerFailed("busy", retryable=True)
    receipt.write_text(said)
"""


@pytest.mark.parametrize("deed", ["side_effects: apply_side_effect, idempotency_key: one", "remember: true"])
@pytest.mark.parametrize("killed", [False, True])
def test_what_a_later_attempt_asks_in_other_words_is_asked_once(
    deeds: Space, tmp_path: Path, deed: str, killed: bool
) -> None:
    """The same in one process and where it is killed between two attempts; and in a replay."""
    url = deeds.read("steps.py").split('"url": "')[1].partition('"')[0]
    text = CLOCK.replace("URL", url).replace("TRIED", str(tmp_path / "tried")).replace("KILLED", str(killed))
    deeds.write("BUILD.yaml", AGAIN.replace("DEED", deed))
    deeds.write("steps.py", text)
    if killed:
        assert deeds.run("//:report").code == -signal.SIGKILL
    ran = deeds.run("//:report")
    assert ran.code == 0 and ("going on with run" in ran.out) is killed, ran
    assert len(Told.bodies) == 1 and (tmp_path / "tried").read_text() == "xxx"
    again = deeds.run("runs", "replay", "//:report")
    assert again.code == 0 and len(Told.bodies) == 1, again
