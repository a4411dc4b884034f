"""Actions, outcomes and errors as values."""

from __future__ import annotations

import pytest

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import digest


def test_an_action_answers_from_its_document() -> None:
    doc = {"step_kind": "exec", "with": {"command": ["true"]}}
    action = Action(digest(doc), doc, "//a", "a.main.x", "a")
    assert (action.kind, action.with_) == ("exec", {"command": ["true"]})


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(Outcome(), True), (Outcome(error=ErrorInfo("x", "m")), False), (Outcome(cancelled=True), False)],
)
def test_an_outcome_is_good_when_nothing_went_wrong(outcome: Outcome, expected: bool) -> None:
    assert outcome.ok is expected


def test_an_error_is_seed_001s_document() -> None:
    assert ErrorInfo("exit_3", "exit 3", details={"n": 1}).doc() == {
        "code": "exit_3",
        "category": "Unknown",
        "retryable": False,
        "message": "exit 3",
        "details": {"n": 1},
    }


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Outcome().remember = False  # type: ignore[misc]
