"""Whether states are a graph that can be performed: the plan validation of seed 001.

Knows nothing of targets. What `lower` makes is valid; a graph that a program puts together is looked at like any other.

Errors:  InvalidPlan, whose message begins with the seed's name of the fault: EmptyPlan, DuplicateStateId,
         MissingStateForEdge, CircularDependency. DanglingDependencyTag is found by `hints`.
Source:  seed 001 `PlanValidationError`.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowbuild.core.cycle import shortest_cycle
from flowbuild.core.errors import InvalidPlan
from flowbuild.graph.state import State


def check_plan(states: Sequence[State], wanted: Sequence[int]) -> None:
    """Refuse wanted states that are none, not unique, without one that they need, or in a circle."""
    if not wanted:
        raise InvalidPlan("EmptyPlan: there is no state to perform", remedy="name a target that has states")
    chosen = set(wanted)
    seen: set[str] = set()
    is_ordered = True
    for number in wanted:
        if not 0 <= number < len(states):
            raise InvalidPlan(f"MissingStateForEdge: there is no state number {number}")
        state = states[number]
        if state.id in seen:
            raise InvalidPlan(f"DuplicateStateId: two states are called {state.id}")
        seen.add(state.id)
        for need in state.needs:
            if need not in chosen:
                name = states[need].id if 0 <= need < len(states) else f"number {need}"
                raise InvalidPlan(f"MissingStateForEdge: {state.id} needs the state {name}, which is not among them")
            is_ordered = is_ordered and need < number
    if not is_ordered:
        _check_circle(states, wanted)


def _check_circle(states: Sequence[State], wanted: Sequence[int]) -> None:
    """Take away what needs nothing that is left, until nothing changes: what stays is in a circle, or behind one."""
    left = {number: set(states[number].needs) for number in wanted}
    while free := [number for number, needs in left.items() if not needs & left.keys()]:
        for number in free:
            del left[number]
    if left:
        circle = shortest_cycle(list(left), lambda number: sorted(left[number] & left.keys()))
        shown = " → ".join(states[number].id for number in (*circle, circle[0]))
        raise InvalidPlan(f"CircularDependency: {shown}", remedy="cut one of these edges")
