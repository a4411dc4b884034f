"""Who waits for whom: each edge is used once, and what is lost stays lost."""

from __future__ import annotations

from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.graph.state import Candidates, State
from flowbuild.run.followers import Followers


def state(*after: int, either: tuple[Candidates, ...] = (), accepts_missing: bool = False) -> State:
    name, label = StateId("op.main.s"), Label("", "t")
    more = {"after": after, "either": either, "accepts_missing": accepts_missing}
    return State(name, label, "exec", "", {}, {}, {}, {}, **more)  # type: ignore[arg-type]


def followers(*states: State) -> Followers:
    return Followers(states, range(len(states)))


def test_a_state_is_ready_when_all_it_waits_for_has_ended() -> None:
    graph = followers(state(), state(), state(0, 1, 0))
    assert graph.ready == [0, 1]
    assert list(graph.free(0)) == []
    assert list(graph.free(1)) == [2]


def test_a_state_that_two_ways_lead_to_is_lost_once() -> None:
    """0 fails; 3 is behind it by two ways, and 5 accepts that 3 is missing, but not that 4 has not ended."""
    graph = followers(state(), state(0), state(0), state(1, 2), state(), state(3, 4, accepts_missing=True))
    assert list(graph.lose(0, tolerant=True)) == []
    assert list(graph.free(4)) == [5]


def test_who_accepts_no_missing_inputs_is_lost() -> None:
    graph = followers(state(), state(0, accepts_missing=True))
    assert list(graph.lose(0, tolerant=False)) == []


def test_one_of_several_is_enough() -> None:
    graph = followers(state(), state(), state(either=(((0,), (1,)),)))
    assert list(graph.lose(1, tolerant=False)) == []
    assert list(graph.free(0)) == [2]


def test_none_of_several_is_not() -> None:
    graph = followers(state(), state(), state(either=(((0,), (1,)),)), state(2))
    assert list(graph.lose(1, tolerant=False)) == []
    assert list(graph.lose(0, tolerant=False)) == []


def test_what_is_read_can_t_be_done_without() -> None:
    graph = followers(state(), state(), state(1, either=(((0,), (1,)),)))
    assert list(graph.lose(1, tolerant=False)) == []
    assert list(graph.free(0)) == []


def test_a_long_line_of_lost_states() -> None:
    graph = followers(state(), *(state(number) for number in range(5000)))
    assert list(graph.lose(0, tolerant=True)) == []
