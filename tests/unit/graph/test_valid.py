"""Plan validation: the five kinds of fault, four of them here.

Seed 001: 001-23.
"""

from __future__ import annotations

import pytest

from flowbuild.core.errors import InvalidPlan
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.graph.state import State
from flowbuild.graph.valid import check_plan


def state(name: str, *after: int) -> State:
    return State(StateId(f"op.main.{name}"), Label("", "t"), "exec", "", {}, {}, {}, {}, after=after)


def test_a_graph_is_valid_in_any_order() -> None:
    check_plan([state("a"), state("b", 0), state("c", 0, 1)], [0, 1, 2])
    check_plan([state("a", 1), state("b")], [0, 1])
    check_plan([state("a"), state("b", 0)], [0])


@pytest.mark.parametrize(
    ("states", "wanted", "said"),
    [
        ([state("a")], [], "EmptyPlan: there is no state"),
        ([state("a"), state("a")], [0, 1], "DuplicateStateId: two states are called op.main.a"),
        ([state("a"), state("b", 0)], [1], "MissingStateForEdge: op.main.b needs the state op.main.a"),
        ([state("a", 7)], [0], "MissingStateForEdge: op.main.a needs the state number 7"),
        ([state("a")], [0, 3], "MissingStateForEdge: there is no state number 3"),
        ([state("a")], [-1], "MissingStateForEdge: there is no state number -1"),
        ([state("a", 0)], [0], "CircularDependency: op.main.a → op.main.a"),
        (
            [state("before"), state("a", 0, 2), state("b", 1), state("behind", 2)],
            [0, 1, 2, 3],
            "CircularDependency: op.main.a → op.main.b → op.main.a",
        ),
        (
            [state("a", 2), state("b", 0), state("c", 1)],
            [0, 1, 2],
            "CircularDependency: op.main.a → op.main.c → op.main.b → op.main.a",
        ),
    ],
)
def test_what_is_no_graph(states: list[State], wanted: list[int], said: str) -> None:
    with pytest.raises(InvalidPlan, match=f"^{said}"):
        check_plan(states, wanted)
