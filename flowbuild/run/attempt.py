"""Attempts: a step performed until it succeeds, its tries are used up, or the flow's time is.

Knows nothing of engines. It stands between the evaluator and a performance, and waits as a performance does: so what
waits for another try can be cancelled like anything else.

Shapes:  each failed attempt that is followed by another is `attempt_failed` and `StateFailed`, and the next one begins
         with `StateEntered`. A failure that leads on is `step_failed`, and its error becomes the output `error`.
Source:  seed 001, attempt envelopes; seed 000, `retry` and `timeout_ms`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.event import Domain, Event, StateEntered, StateFailed
from flowbuild.core.retry import ONCE, Retry
from flowbuild.engine.engine import Performance, Ready, Wait
from flowbuild.engine.process import before
from flowbuild.graph.state import State
from flowbuild.graph.step import ERROR, Step
from flowbuild.run.items import name


def allowed(state: State, default: Retry) -> Retry:
    """How often a state may be performed. What changes the world outside is done again only if it says so itself."""
    return state.retry or (ONCE if state.applies else default)


def attempted(
    step: Step,
    action: Action,
    perform: Callable[[], Performance],
    keep: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    deadline: float | None,
    first: int = 0,
) -> Performance:
    """Perform a step as often as it may be. `keep` takes a document into the store; `deadline` is the flow's.

    `first` is the number of the first attempt.
    """
    number = first
    while True:
        outcome = yield from before(deadline, perform())
        if outcome is None:
            return _late(step)
        if outcome.error is None or number >= step.retry_max or is_final(outcome.error.details):
            break
        yield from _pause(step.backoff_ms, deadline)
        if _is_over(deadline):
            return _late(step)
        yield from _again(action, number, outcome)
        yield from _entered(action, number + 1)
        number += 1
    if outcome.error is None or not step.catches:
        return outcome
    said = {"error": outcome.error.doc()}
    yield Domain("step_failed", {"label": action.label, "state_id": action.state_id, "step": step.name, **said})
    return caught(outcome, keep)


def caught(outcome: Outcome, keep: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Outcome:
    """A failure that leads on: its error is the output. A failure is never remembered, nor what stands for one."""
    if outcome.error is None:
        return outcome
    made = {ERROR: keep({"error": outcome.error.doc()})}
    return Outcome(made, stderr_tail=outcome.stderr_tail, log=outcome.log, remember=False)


def retried(
    retry: Retry,
    action: Action,
    perform: Callable[[], Performance],
    first: int = 0,
) -> Performance:
    """Perform an action as often as it may be, and only after errors for which that may help.

    `first` is the number of the first attempt. Every attempt starts from the same snapshot.
    """
    number = first
    while True:
        outcome = yield from perform()
        if outcome.error is None or not outcome.error.retryable or number + 1 >= retry.attempts:
            return outcome
        yield from _pause(retry.pause_ms(number), None)  # the attempt stays open: a cancel closes it
        yield from _again(action, number, outcome)
        yield from _entered(action, number + 1)
        number += 1


def is_final(details: Any) -> bool:
    """Whether an executor says that another try is useless, in the details of an error."""
    data = details.get("data") if isinstance(details, Mapping) else None
    return isinstance(data, Mapping) and data.get("retriable") is False


def _again(action: Action, number: int, outcome: Outcome) -> Generator[Event, None, None]:
    """Close an attempt that is followed by another."""
    error = outcome.error
    assert error is not None, "what succeeded is not tried again"
    said = {"attempt": number, "label": action.label, "message": error.message, "state_id": action.state_id}
    yield Domain("attempt_failed", {**said, "item": name(action.doc["item"])} if action.item else said)
    if action.item:  # its state's attempt goes on
        return
    yield StateFailed(action.state_id, {"state_id": action.state_id, "info": error.doc()}, outcome.failure_snapshot)


def _entered(action: Action, number: int) -> Generator[Event | Wait, Ready, None]:
    """Begin another attempt, which the journal tells before anything of it happens."""
    if not action.item:
        yield StateEntered(action.state_id, number, action.base)
        yield Domain("action_bound", {"action": action.key, "label": action.label, "state_id": action.state_id})
    yield Wait((), 0.0)


def _pause(milliseconds: int, deadline: float | None) -> Generator[Wait, Ready, None]:
    """Wait, at least once: the descriptors of the next attempt may have the numbers of the last one's."""
    until = now = time.monotonic()
    until += milliseconds / 1000
    while True:
        yield Wait((), until if deadline is None else min(until, max(now, deadline)))
        now = time.monotonic()
        if now >= until or _is_over(deadline):
            return


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _late(step: Step) -> Outcome:
    message = f"the flow took longer than {step.flow_timeout_ms} ms; step {step.name} was ended"
    return Outcome(error=ErrorInfo("timeout", message, details={"flow_timeout_ms": step.flow_timeout_ms}))
