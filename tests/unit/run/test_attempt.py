"""Attempts: how often, until when, and what a failure that leads on becomes. No clock but deadlines.

Seed 001: 001-04.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import Digest
from flowbuild.core.event import Domain, StateEntered, StateFailed
from flowbuild.core.retry import Retry
from flowbuild.engine.engine import Performance, Wait
from flowbuild.graph.step import Step
from flowbuild.run import attempt
from flowbuild.run.attempt import attempted, retried

ACTION = Action(Digest("k" * 64), {"step_kind": "x", "with": {}}, "//a:f", "a.step.x", "")
BAD = ErrorInfo("bad", "it broke")


class Work:
    """Performances that come to one outcome after another; each waits once."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.left = list(outcomes)
        self.closed = 0

    def __call__(self) -> Performance:
        try:
            yield Wait((), time.monotonic())
            return self.left.pop(0)
        finally:
            self.closed += 1


def run(step: Step, work: Work, deadline: float | None = None) -> tuple[Outcome, list[object]]:
    return pumped(attempted(step, ACTION, work, keep, deadline))


def pumped(steps: Performance) -> tuple[Outcome, list[object]]:
    seen: list[object] = []
    ready = None
    while True:
        try:
            found = steps.send(ready)
        except StopIteration as end:
            return end.value, seen
        seen.append(found)
        ready = () if isinstance(found, Wait) else None
        if isinstance(found, Wait) and found.deadline is not None:
            time.sleep(max(0.0, found.deadline - time.monotonic()))


def keep(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"kept": document}


def test_a_step_that_succeeds_is_performed_once() -> None:
    work = Work(Outcome({"result": {}}), Outcome(error=BAD))
    outcome, seen = run(Step("x", retry_max=5), work)
    assert (outcome.ok, len(work.left), len(seen)) == (True, 1, 1)


@pytest.mark.parametrize(("retry_max", "left"), [(0, 3), (1, 2), (2, 1)])
def test_it_is_tried_as_often_as_it_says(retry_max: int, left: int) -> None:
    work = Work(*[Outcome(error=BAD)] * 4)
    outcome, seen = run(Step("x", retry_max=retry_max), work)
    assert (outcome.error, len(work.left)) == (BAD, left)
    entered = [event.attempt for event in seen if isinstance(event, StateEntered)]
    assert entered == list(range(1, retry_max + 1))
    assert sum(isinstance(event, StateFailed) for event in seen) == retry_max


def test_a_step_counts_on_from_the_attempt_that_was_killed() -> None:
    work = Work(*[Outcome(error=BAD)] * 4)
    _, seen = pumped(attempted(Step("x", retry_max=3), ACTION, work, keep, None, first=2))
    assert [event.attempt for event in seen if isinstance(event, StateEntered)] == [3]
    assert len(work.left) == 2


def test_an_attempt_is_closed_before_the_next_is_entered() -> None:
    _, seen = run(Step("x", retry_max=1), Work(Outcome(error=BAD), Outcome()))
    kinds = [event.name if isinstance(event, Domain) else type(event).__name__ for event in seen]
    assert kinds == ["Wait", "Wait", "attempt_failed", "StateFailed", "StateEntered", "action_bound", "Wait", "Wait"]
    assert seen[3] == StateFailed(ACTION.state_id, {"state_id": ACTION.state_id, "info": BAD.doc()})


def test_what_an_executor_calls_final_is_final() -> None:
    final = ErrorInfo("step_failed", "no", details={"data": {"retriable": False}})
    work = Work(Outcome(error=final), Outcome())
    outcome, _ = run(Step("x", retry_max=3), work)
    assert (outcome.error, len(work.left)) == (final, 1)


def test_a_failure_that_leads_on_is_kept_as_a_document() -> None:
    outcome, seen = run(Step("x", catches=True), Work(Outcome(error=BAD)))
    assert outcome.ok
    assert not outcome.remember
    assert outcome.outputs == {"error": {"kept": {"error": BAD.doc()}}}
    assert [event.name for event in seen if isinstance(event, Domain)] == ["step_failed"]


def test_the_flow_s_time_ends_a_performance_and_nothing_catches_that() -> None:
    def wait_for_ever() -> Performance:
        yield Wait(())
        raise AssertionError("nobody comes back")

    deadline = time.monotonic() + 0.02
    steps = attempted(Step("x", retry_max=3, catches=True, flow_timeout_ms=20), ACTION, wait_for_ever, keep, deadline)
    first = next(steps)
    assert first == Wait((), deadline)
    time.sleep(max(0.0, deadline - time.monotonic()))
    with pytest.raises(StopIteration) as end:
        steps.send(())
    assert end.value.value.error.code == "timeout"


def test_the_pause_before_another_try_ends_with_the_flow() -> None:
    work = Work(Outcome(error=BAD), Outcome())
    outcome, _ = run(Step("x", retry_max=1, backoff_ms=60_000, flow_timeout_ms=50), work, time.monotonic() + 0.05)
    assert outcome.error is not None
    assert outcome.error.code == "timeout"


def test_closing_closes_what_is_performed() -> None:
    work = Work(Outcome())
    steps = attempted(Step("x"), ACTION, work, keep, None)
    next(steps)
    steps.close()
    assert work.closed == 1


class Clock:
    """Time that passes only where somebody waits for it."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("retry", "pauses"), [(Retry(4, 100), [0.1, 0.1, 0.1]), (Retry(4, 100, 350), [0.1, 0.2, 0.35])]
)
def test_before_each_other_attempt_it_waits_as_long_as_it_says(
    monkeypatch: pytest.MonkeyPatch, retry: Retry, pauses: list[float]
) -> None:
    clock, begun = Clock(), []
    monkeypatch.setattr(attempt, "time", clock)

    def busy() -> Performance:
        begun.append(clock.now)
        yield from ()
        return Outcome(error=ErrorInfo("busy", "busy", retryable=True))

    for step in retried(retry, ACTION, busy):
        if isinstance(step, Wait):
            assert step.deadline is not None
            clock.now = max(clock.now, step.deadline)
    assert [after - before for before, after in pairwise(begun)] == pytest.approx(pauses)


def test_what_is_gone_on_with_counts_on_and_waits_only_after_a_failure_of_its_own() -> None:
    """The first attempt of this process is the second of the state: it begins at once, and one more is left."""
    busy = Outcome(error=ErrorInfo("busy", "busy", retryable=True))
    begun = time.monotonic()
    steps = retried(Retry(3, delay_ms=60_000), ACTION, Work(busy), 1)
    waits = [next(steps), steps.send(())]
    assert [isinstance(one, Wait) and (one.deadline or 0) >= begun + 60 for one in waits] == [False, True]
    steps.close()
    work = Work(*[busy] * 4)
    outcome, seen = pumped(retried(Retry(3), ACTION, work, 1))
    assert (outcome, len(work.left)) == (busy, 2)
    assert [event.attempt for event in seen if isinstance(event, StateEntered)] == [2]
