"""Evaluate: order, reuse, failure, concurrency, cancellation; over graphs made by hand, with no workspace.

Seed 001: 001-06, 001-07, 001-16.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import EMPTY_CONTEXT, Digest, canonical, sha256
from flowbuild.core.errors import EngineLost
from flowbuild.core.event import Domain, Event, StateCompleted, StateEntered, StateFailed, StateStatus
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.engine.engine import Capabilities, Engine, Io, Performance, Wait
from flowbuild.graph.state import Input, Product, State, StateGraph
from flowbuild.run.evaluate import Evaluation
from flowbuild.run.io import RunIo
from flowbuild.run.result import Continue, Result, blocked_by
from flowbuild.run.room import Room
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Record
from flowbuild.store.tree import Artifact
from flowbuild.testing import ScriptedEngine

Needs = Sequence[Sequence[int]]

DIAMOND: Needs = [(), (0,), (0,), (1, 2)]


def graph(needs: Needs) -> StateGraph:
    """States numbered from 0, each with one output, that need those before them."""
    return StateGraph(tuple(state(number, list(needed)) for number, needed in enumerate(needs)), {})


def state(number: int, needed: list[int]) -> State:
    inputs = {f"i{need}": Input((Product(need, "o", f"out/bin/s{need}/o"),), False) for need in needed}
    placed = {"o": f"out/bin/s{number}/o"}
    return State(StateId(f"s{number}.main.o"), Label("", f"s{number}"), "write", "", {}, inputs, {"o": "o"}, placed)


class Desk:
    """A desk that remembers everything in a dictionary, and binds a state to its needs' digests alone."""

    def __init__(self, place: Path, engine: Engine) -> None:
        self.engine = engine
        self.io = RunIo(place, (), Cas(place / "cas"), place / "run")
        self.memo: dict[str, Record] = {}
        self.wakeup: int | None = None
        self.signal: int | None = None
        self.interrupted = False

    def done(self, state: State, action: Action) -> Mapping[str, Artifact] | None:
        return None

    def attempt(self, state: State) -> int:
        return 0

    def bind(self, state: State, products: Mapping[int, Mapping[str, Artifact]]) -> Action:
        inputs = {str(need): products[need]["o"].sha256 for need in state.needs}
        doc = {"step_kind": state.kind, "with": {}, "id": state.id, "inputs": inputs}
        return Action(sha256(canonical(doc)), doc, str(state.label), state.id, "", outputs=state.outputs)

    def remembered(self, state: State, action: Action) -> Record | None:
        return self.memo.get(action.key)

    def perform(self, state: State, action: Action) -> Performance:
        return self.engine.perform(action, self.io)

    def passed_over(self, number: int, products: Mapping[int, Mapping[str, Artifact]]) -> list[Event] | None:
        return None

    def remember(self, state: State, action: Action, outcome: Outcome, wall_ms: int) -> list[Event]:
        outputs = {name: Artifact.from_doc(doc) for name, doc in outcome.outputs.items()}
        self.memo[action.key] = Record(action.key, "direct", outputs, "earlier", wall_ms)
        return []

    def ended(self, number: int, products: Mapping[int, Mapping[str, Artifact]]) -> Digest:
        return EMPTY_CONTEXT

    def interrupt(self) -> None:
        self.interrupted = True

    def signalled(self) -> int | None:
        return self.signal


def run(needs: Needs, desk: Desk, jobs: int = 1, keep_going: Continue = Continue.NEVER) -> tuple[Result, list[Event]]:
    """Evaluate all states; the result and the events."""
    events: list[Event] = []
    steps = Evaluation(graph(needs), range(len(needs)), desk, room=Room(jobs), keep_going=keep_going).run()
    while True:
        try:
            events += next(steps)
        except StopIteration as end:
            return end.value, events


def numbers(labels: Sequence[str]) -> list[int]:
    return [int(label.removeprefix("//:s")) for label in labels]


@pytest.fixture
def scripted(tmp_path: Path) -> tuple[Desk, ScriptedEngine]:
    engine = ScriptedEngine()
    return Desk(tmp_path, engine), engine


@st.composite
def dags(draw: st.DrawFn) -> list[list[int]]:
    size = draw(st.integers(1, 8))
    return [draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else [] for n in range(size)]


def test_states_are_performed_in_order(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, engine = scripted
    result, _ = run(DIAMOND, desk)
    assert numbers(engine.performed) == [0, 1, 2, 3]
    assert result.ok
    assert set(result.status.values()) == {StateStatus.COMPLETED}


def test_what_is_told_of_a_state_that_was_performed(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, _ = scripted
    two = replace(state(0, []), declared={"p": "p", "o": "o"}, outputs={"p": "out/p", "o": "out/o"})
    result, events = finish(Evaluation(StateGraph((two,), {}), [0], desk, room=Room(1)).run())
    made, key, sha = result.products[0], result.keys[0], sha256(b"//:s0")
    assert events == [
        StateEntered(two.id, 0, EMPTY_CONTEXT),
        Domain("action_bound", {"action": key, "label": "//:s0", "state_id": two.id}),
        *(
            Domain(
                "artifact_written",
                {"artifact": made[name].doc(), "artifact_id": sha, "name": name, "state_id": two.id},
            )
            for name in "op"
        ),
        Domain("outcome_recorded", {"action": key, "outputs": {"o": sha, "p": sha}, "state_id": two.id}),
        StateCompleted(two.id, EMPTY_CONTEXT),
    ]


def test_what_is_remembered_is_reused(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, engine = scripted
    first, _ = run(DIAMOND, desk)
    second, events = run(DIAMOND, desk)
    assert len(engine.performed) == 4
    assert set(second.status.values()) == {StateStatus.REUSED}
    assert (second.keys, second.products) == (first.keys, first.products)
    assert [e.payload["performed_in"] for e in events if isinstance(e, Domain)] == ["earlier"] * 4


def test_an_equal_output_stops_what_follows(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, engine = scripted
    run(DIAMOND, desk)
    desk.memo = {key: record for key, record in desk.memo.items() if key != next(iter(desk.memo))}
    engine.performed.clear()
    result, _ = run(DIAMOND, desk)
    assert numbers(engine.performed) == [0]
    assert result.status[3] is StateStatus.REUSED


def test_another_output_goes_on_until_an_equal_one(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, engine = scripted
    run(DIAMOND, desk)
    desk.memo.pop(next(iter(desk.memo)))
    engine.script = {"//:s0": "other"}
    engine.performed.clear()
    run(DIAMOND, desk)
    assert numbers(engine.performed) == [0, 1, 2]


FAILING: Needs = [(), (), (0,), (1,), (2, 3)]


@pytest.mark.parametrize(
    ("mode", "performed", "waiting"),
    [(Continue.NEVER, [0], [1, 2, 3, 4]), (Continue.SUCCESSFUL, [0, 1, 3], [2, 4])],
)
def test_what_may_start_after_a_failure(
    scripted: tuple[Desk, ScriptedEngine], mode: Continue, performed: list[int], waiting: list[int]
) -> None:
    desk, engine = scripted
    engine.script = {"//:s0": ErrorInfo("exit_1", "exit 1")}
    result, _ = run(FAILING, desk, keep_going=mode)
    assert numbers(engine.performed) == performed
    assert result.numbers(StateStatus.NOT_STARTED) == waiting
    assert not result.ok
    assert result.errors[0].message == "exit 1"


def test_a_failure_is_never_remembered(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, engine = scripted
    engine.script = {"//:s0": ErrorInfo("exit_1", "exit 1")}
    run([()], desk)
    assert desk.memo == {}
    run([()], desk)
    assert len(engine.performed) == 2


def test_who_is_to_blame(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, engine = scripted
    engine.script = {"//:s0": ErrorInfo("exit_1", "exit 1")}
    result, _ = run(FAILING, desk, keep_going=Continue.NEVER)
    blamed = [(str(a.label), str(b.label)) for a, b in blocked_by(graph(FAILING), result)]
    assert blamed == [("//:s2", "//:s0"), ("//:s4", "//:s0")]  # 1 and 3 were not started, and nobody is to blame


def by_state(events: Sequence[Event]) -> Mapping[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        name = event.payload["state_id"] if isinstance(event, Domain) else event.state_id  # type: ignore[union-attr]
        found.setdefault(name, []).append(event)
    return found


def assert_is_envelope(events: Sequence[Event]) -> None:
    """Seed 001: entered, any number of domain events, then completed or failed, once."""
    first, *middle, last = events
    assert isinstance(first, StateEntered)
    assert first.attempt == 0
    assert all(isinstance(event, Domain) for event in middle)
    assert isinstance(last, StateCompleted | StateFailed)
    assert last.state_id == first.state_id
    if isinstance(last, StateFailed):
        assert last.error["state_id"] == last.state_id


@settings(max_examples=40, deadline=None)
@given(dags(), st.data(), st.integers(1, 3), st.sampled_from(Continue))
def test_any_graph(
    tmp_path_factory: pytest.TempPathFactory, needs: Needs, data: st.DataObject, jobs: int, mode: Continue
) -> None:
    failing = data.draw(st.sets(st.integers(0, len(needs) - 1), max_size=2))
    engine = ScriptedEngine({f"//:s{number}": ErrorInfo("x", "m") for number in failing})
    result, events = run(needs, Desk(tmp_path_factory.mktemp("desk"), engine), jobs, mode)
    performed = numbers(engine.performed)
    assert performed == sorted(performed)  # the graph's own order, which is topological
    assert all(result.status[need] is StateStatus.COMPLETED for number in performed for need in needs[number])
    assert set(result.errors) == failing & set(performed)
    grouped = by_state(events)
    assert set(grouped) == {f"s{number}.main.o" for number in performed}
    for attempt in grouped.values():
        assert_is_envelope(attempt)


class PausingEngine:
    """Each action waits until its pipe is written to; says what began and what was closed."""

    capabilities = Capabilities("pausing", "1", ("write",))

    def __init__(self) -> None:
        self.began: list[str] = []
        self.closed: list[str] = []
        self.most = 0
        self.gates: dict[str, tuple[int, int]] = {}

    def perform(self, action: Action, io: Io) -> Performance:
        self.began.append(action.label)
        self.gates[action.label] = reading, writing = os.pipe()
        self.most = max(self.most, len(self.gates))
        try:
            yield Domain("noted", {"state_id": action.state_id})
            ready = yield Wait((reading,))
            assert ready == (reading,)
            return Outcome()
        except GeneratorExit:
            self.closed.append(action.label)
            raise
        finally:
            os.close(reading)
            os.close(writing)
            del self.gates[action.label]

    def open_gate(self) -> None:
        if self.gates:
            os.write(self.gates[min(self.gates)][1], b"x")

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_no_more_than_jobs_are_open(tmp_path: Path, jobs: int) -> None:
    engine = PausingEngine()
    steps = Evaluation(graph([()] * 5), range(5), Desk(tmp_path, engine), room=Room(jobs)).run()
    for step in steps:
        if len(engine.gates) == jobs or any(isinstance(e, StateCompleted) for e in step) or len(engine.began) == 5:
            engine.open_gate()
    assert engine.most == jobs
    assert len(engine.began) == 5


def test_what_an_engine_yields_is_in_the_attempt(tmp_path: Path) -> None:
    engine = PausingEngine()
    steps = Evaluation(graph([()]), [0], Desk(tmp_path, engine), room=Room(1)).run()
    events = next(steps)
    assert engine.began == []  # the journal is told of it first
    events += next(steps)
    engine.open_gate()
    events += [event for step in steps for event in step]
    assert_is_envelope(events)
    assert "noted" in [event.name for event in events if isinstance(event, Domain)]


def test_a_signal_closes_what_is_open_and_starts_nothing_more(tmp_path: Path) -> None:
    engine = PausingEngine()
    desk = Desk(tmp_path, engine)
    desk.wakeup, writing = os.pipe()
    steps = Evaluation(graph([(), (), (), (0,)]), range(4), desk, room=Room(2)).run()
    events = [event for _ in range(4) for event in next(steps)]  # each of two is told of, and begins
    desk.signal = 15
    os.write(writing, b"x")
    result, rest = finish(steps)
    assert (engine.closed, desk.interrupted, result.signal) == (["//:s0", "//:s1"], True, 15)
    assert [*result.status.values()] == [StateStatus.CANCELLED] * 2 + [StateStatus.NOT_STARTED] * 2
    for attempt in by_state(events + rest).values():
        assert_is_envelope(attempt)
    os.close(desk.wakeup)
    os.close(writing)


def finish(steps: Iterator[list[Event]]) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    while True:
        try:
            events += next(steps)
        except StopIteration as end:
            return end.value, events


def test_a_signal_counts_between_states_that_never_wait(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, engine = scripted
    steps = Evaluation(graph([()] * 9), range(9), desk, room=Room(1)).run()
    next(steps)
    next(steps)
    desk.signal = 2
    result, _ = finish(steps)
    assert numbers(engine.performed) == [0]
    assert len(result.numbers(StateStatus.NOT_STARTED)) == 8


def test_leaving_early_closes_what_is_open(tmp_path: Path) -> None:
    engine = PausingEngine()
    steps = Evaluation(graph([()]), [0], Desk(tmp_path, engine), room=Room(1)).run()
    next(steps)
    next(steps)
    steps.close()
    assert engine.closed == ["//:s0"]


class Napping(ScriptedEngine):
    """Waits for deadlines only."""

    def perform(self, action: Action, io: Io) -> Performance:
        until = time.monotonic() + (0.02 if action.label == "//:s1" else 0.06)
        ready = yield Wait((), until)
        assert ready == ()
        assert time.monotonic() >= until
        self.performed.append(action.label)
        return Outcome()


def test_a_wait_ends_at_its_deadline(tmp_path: Path) -> None:
    engine = Napping()
    result, _ = run([(), ()], Desk(tmp_path, engine), jobs=2)
    assert result.ok
    assert numbers(engine.performed) == [1, 0]


class Breaking(PausingEngine):
    def perform(self, action: Action, io: Io) -> Performance:
        if action.label == "//:s1":
            raise EngineLost("gone")
        return super().perform(action, io)


def test_an_engine_that_breaks_leaves_nothing_open(tmp_path: Path) -> None:
    engine = Breaking()
    with pytest.raises(EngineLost):
        run([(), ()], Desk(tmp_path, engine), jobs=2)
    assert engine.closed == ["//:s0"]


def test_no_move_leaves_the_table(scripted: tuple[Desk, ScriptedEngine]) -> None:
    evaluation = Evaluation(graph([()]), [0], scripted[0], room=Room(1))
    with pytest.raises(RuntimeError, match=r"s0.main.o: ready can't become completed"):
        evaluation._move(0, StateStatus.COMPLETED)


class Stirring(ScriptedEngine):
    """Looks for others, and moves something afterwards, before it waits."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.room = room

    def perform(self, action: Action, io: Io) -> Performance:
        self.room.stir()
        yield Wait((), None, for_others=True)
        return Outcome()


def test_what_moves_before_it_waits_is_not_missed(tmp_path: Path) -> None:
    room = Room(1)
    steps = Evaluation(graph([()]), [0], Desk(tmp_path, Stirring(room)), room=room, tick_s=0.01).run()
    for _ in range(20):
        try:
            next(steps)
        except StopIteration as end:
            assert end.value.ok
            return
    pytest.fail("it waits for what has happened already")


def test_the_evaluations_of_one_room_share_its_places(tmp_path: Path) -> None:
    """Two guests of a host that lends them its only place: one performs at a time, and neither ever blocks."""
    room, engine = Room(1), PausingEngine()
    guests = [Evaluation(graph([(), ()]), range(2), Desk(tmp_path, engine), room=room, is_guest=True) for _ in range(2)]
    steps = [guest.run() for guest in guests]
    room.enter(None)
    for guest, one in zip(guests, steps, strict=True):
        assert next(one) == []
        assert guest.waiting == Wait(guest.waiting.descriptors if guest.waiting else (), None, for_others=True)
    assert engine.began == []
    room.lend()
    while steps:
        engine.open_gate()
        steps = [one for one in steps if next(one, None) is not None]
    assert (engine.most, len(engine.began)) == (1, 4)
    assert room.has_place


def test_who_waits_for_others_is_advanced_when_one_has_ended(tmp_path: Path) -> None:
    room, engine = Room(2), PausingEngine()
    looked: list[str] = []

    def waiting() -> Performance:
        looked.append("at first")
        yield Wait((), None, for_others=True)
        looked.append("when the other had ended")
        return Outcome()

    desk = Desk(tmp_path, engine)
    desk.perform = lambda state, action: waiting() if state.id.startswith("s0") else engine.perform(action, desk.io)  # type: ignore[method-assign]
    steps = Evaluation(graph([(), ()]), range(2), desk, room=room, is_guest=True).run()
    while next(steps, None) is not None:
        if len(engine.began) == 1 and engine.gates:
            assert looked == ["at first"]
            engine.open_gate()
    assert looked == ["at first", "when the other had ended"]


def test_a_guest_that_only_reuses_ends(scripted: tuple[Desk, ScriptedEngine]) -> None:
    desk, _ = scripted
    run(DIAMOND, desk)
    steps = Evaluation(graph(DIAMOND), range(4), desk, room=Room(1), is_guest=True).run()
    assert len(list(steps)) == 4
