"""Going on with a killed run: what its journal's tail means, and whether it is still the same work.

Knows nothing of disks or of people. Resume is a build whose memo starts with the run's own journal: what completed
there is there, facts stay bound, and an attempt that has no end is closed and made again.

Errors:  RunStale for work that is not what it was: an input changed, or a state of the history is gone.
Source:  seed 001, resume after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from flowbuild.core.action import Action, ErrorInfo
from flowbuild.core.errors import RunStale
from flowbuild.core.event import Event, StateFailed, StateStatus
from flowbuild.core.retry import ONCE, Retry
from flowbuild.graph.state import State, StateGraph
from flowbuild.run.attempt import allowed, is_final
from flowbuild.run.result import Result
from flowbuild.run.story import SKIPPED, Story, Told
from flowbuild.store.tree import Artifact

ORPHAN = ErrorInfo("orphan_attempt_recovered", "orphaned state attempt recovered during resume", retryable=True)

Products = Mapping[int, Mapping[str, Artifact]]
Outputs = Callable[[Told], Mapping[str, Artifact] | None]
"""What a state that completed left, if the store still has all of it."""


def closing(story: Story) -> list[Event]:
    """The events that close the attempts that were open when the run was killed."""
    return [
        StateFailed(told.state_id, {"state_id": told.state_id, "info": ORPHAN.doc()})
        for told in story.states.values()
        if told.open
    ]


def failed_for_good(told: Told, state: State, default: Retry) -> bool:
    """Whether a state's last attempt failed, and no other follows it. After an orphan one does, whatever is allowed."""
    if told.error is None or told.open or told.error["code"] == ORPHAN.code:
        return False
    if state.step is not None:
        return told.attempt >= state.step.retry_max or is_final(told.error.get("details"))
    return not told.error.get("retryable") or told.attempt + 1 >= allowed(state, default).attempts


def lost(
    graph: StateGraph, numbers: Sequence[int], story: Story, outputs: Outputs, default: Retry = ONCE
) -> Result | None:
    """How a run ended that was killed between its last failure and its end; None for one that may go on.

    What completed before the kill is reused, as in a run that goes on; what the store has lost of it is not there.
    `default` is for states that declare no retry.
    """
    known = list(_known(graph, numbers, story))
    failed = {number: told for number, state, told in known if failed_for_good(told, state, default)}
    if not failed:
        return None
    result = Result(dict.fromkeys(numbers, StateStatus.NOT_STARTED))
    for number, state, told in known:
        found = outputs(told) if told.completed else None
        if number in failed:
            result.status[number] = StateStatus.FAILED
            result.errors[number] = _error(told)
        elif told.how == SKIPPED:
            result.status[number] = StateStatus.SKIPPED
        elif found is not None:
            result.status[number] = StateStatus.REUSED
            result.products[number] = found
        if told.action is not None and (number in failed or found is not None) and _is_bindable(state, result):
            result.keys[number] = told.action
    return result


def _error(told: Told) -> ErrorInfo:
    assert told.error is not None, "it failed"
    return ErrorInfo(told.error["code"], told.error["message"])


def _is_bindable(state: State, result: Result) -> bool:
    """Whether all that a state's action was made of is there still."""
    return all(need in result.products or result.status.get(need) is StateStatus.SKIPPED for need in state.needs)


def check(
    graph: StateGraph,
    numbers: Sequence[int],
    story: Story,
    bind: Callable[[State, Products], Action],
    outputs: Outputs,
) -> None:
    """Refuse to go on where the history is not that of this work. `outputs` are those of a state that completed."""
    states = {graph.states[number].id: number for number in numbers}
    gone = next((state_id for state_id in story.states if state_id not in states), None)
    if gone is not None:
        raise RunStale(f"recovery_state_not_in_plan: the run has a state {gone}, which is not asked for any more")
    products: dict[int, Mapping[str, Artifact]] = {}
    for number, state, told in _known(graph, numbers, story):
        if any(need not in products for need in state.needs):
            continue
        if told.action is not None and bind(state, products).key != told.action:
            raise RunStale(f"{state.label} is not what it was when the run began: an input or its action changed")
        found = outputs(told) if told.completed else None
        if found is not None:
            products[number] = found
        elif told.completed and story.status is not None:
            raise RunStale(f"the run has ended, and the store has lost what {state.label} left in it")


def _known(graph: StateGraph, numbers: Sequence[int], story: Story) -> Iterator[tuple[int, State, Told]]:
    for number in numbers:
        state = graph.states[number]
        if state.id in story.states:
            yield number, state, story.states[state.id]
