"""What a run's configuration changes: attempts, how many states run at once, and whether anything outside is asked.

Seed 001: 001-03, 001-04, 001-07, 001-09.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from workshop import Result, Workshop, declare, target

from flowbuild.core.action import Action, ErrorInfo
from flowbuild.core.event import Domain, StateEntered, StateFailed
from flowbuild.engine.engine import Io, Performance, Wait
from flowbuild.engine.python import PythonEngine
from flowbuild.testing import ScriptedEngine

BUSY, BAD = ErrorInfo("busy", "busy", retryable=True), ErrorInfo("bad", "bad")


def failing(root: Path, error: ErrorInfo, **more: Any) -> Workshop:
    space = Workshop(root / "w", lambda: ScriptedEngine({"//:a": error}))
    space.write("BUILD.yaml", declare({"a": target("a", **more)}))
    return space


def attempts(made: Result) -> list[int]:
    return [event.attempt for event in made.events if isinstance(event, StateEntered)]


def test_a_state_that_declares_no_retry_has_that_of_the_run(tmp_path: Path) -> None:
    space = failing(tmp_path, BUSY)
    assert attempts(space.make("//:a", "--json")) == [0]
    assert attempts(space.make("//:a", "--json", "--attempts", "3")) == [0, 1, 2]
    space.write("flowbuild.yaml", "run: {retry: {attempts: 2, delay_ms: 1}}")
    assert attempts(space.make("//:a", "--json")) == [0, 1]


def test_a_state_keeps_to_what_it_declares(tmp_path: Path) -> None:
    space = failing(tmp_path, BUSY, retry={"attempts": 1})
    assert attempts(space.make("//:a", "--json", "--attempts", "3")) == [0]


def test_what_no_attempt_helps_is_not_tried_again(tmp_path: Path) -> None:
    assert attempts(failing(tmp_path, BAD).make("//:a", "--json", "--attempts", "3")) == [0]


def test_what_changes_the_world_is_tried_again_only_if_it_says_so(tmp_path: Path) -> None:
    space = failing(tmp_path, BUSY, side_effects="apply_side_effect")
    assert attempts(space.make("//:a", "--json", "--attempts", "3")) == [0]


ASKING = """
targets:
  a: {rule: python, handler: "a.py:ask", outputs: {o: o}}
"""


@pytest.mark.parametrize(("is_retryable", "expected"), [("true", [0, 1]), ("false", [0])])
def test_a_replayed_run_asks_nobody(tmp_path: Path, is_retryable: str, expected: list[int]) -> None:
    space = Workshop(tmp_path / "w", PythonEngine)
    space.write("BUILD.yaml", ASKING)
    space.write("a.py", "def ask(o, io):\n    o.write_text(str(io.now_millis()))\n")
    space.write("flowbuild.yaml", f"run: {{retry: {{attempts: 2}}, replay_missing_fact_retryable: {is_retryable}}}")
    made = space.make("//:a", "--json", "--policy", "replay")
    assert (made.code, attempts(made)) == (1, expected)
    errors = [event.error["info"] for event in made.events if isinstance(event, StateFailed)]
    assert {(one["code"], one["retryable"]) for one in errors} == {("missing_fact", is_retryable == "true")}
    assert not [one for one in made.events if isinstance(one, Domain) and one.name == "fact_recorded"]


class Counting(ScriptedEngine):
    """Says how many actions were open at once."""

    open = most = 0

    def perform(self, action: Action, io: Io) -> Performance:
        self.open += 1
        self.most = max(self.most, self.open)
        yield Wait((), 0.0)  # the deadline has passed: all that may begin have begun by then
        self.open -= 1
        return (yield from super().perform(action, io))


@pytest.mark.parametrize(("flags", "most"), [(["-j1"], 1), (["-j3"], 3), ([], 4)])
def test_as_many_states_run_at_once_as_is_said(tmp_path: Path, flags: list[str], most: int) -> None:
    engine = Counting()
    space = Workshop(tmp_path / "w", lambda: engine)
    space.write("flowbuild.yaml", "run: {jobs: 4}")
    space.write("BUILD.yaml", declare({name: target(name) for name in "abcde"}))
    assert space.make("//...", *flags).code == 0
    assert (engine.most, len(engine.performed)) == (most, 5)
