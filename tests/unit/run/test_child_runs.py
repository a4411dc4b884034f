"""Child runs: what is asked, refused and answered, over a nursery that a test scripts.

Seed 001: 001-29.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import EMPTY_CONTEXT, Digest, canonical, sha256
from flowbuild.core.errors import BadFlag, DiskRefused
from flowbuild.core.event import Domain, Event
from flowbuild.core.ids import RunId, child_run_id, op_of
from flowbuild.core.label import Label
from flowbuild.core.run_config import RunConfig
from flowbuild.engine.engine import Performance, Wait
from flowbuild.engine.transport import Refused
from flowbuild.graph.state import StateGraph
from flowbuild.run.child_request import AWAIT, SPAWN
from flowbuild.run.child_runs import DEEPEST, MOST, Birth, ChildRuns, End
from flowbuild.run.room import Room
from flowbuild.store.cas import Cas

PARENT = RunId("00000000-0000-0000-0000-000000000001")
ACTION = Action(
    Digest("0" * 64), {"step_kind": "python", "with": {}, "spawns": {"//:b": "1"}}, "//:a", "a.main.call", ""
)


@dataclasses.dataclass
class Scripted:
    """An offspring that ends after so many steps."""

    birth: Birth
    left: int
    manifest_id: Digest = EMPTY_CONTEXT
    initial_snapshot_id: Digest = EMPTY_CONTEXT
    is_new: bool = True
    end: End | None = None
    stopped: bool = False

    def step(self) -> Wait | None:
        self.left -= 1
        if self.left > 0:
            return Wait((), 0.0)
        self.end = End("Completed", EMPTY_CONTEXT)
        return None

    def stop(self) -> None:
        self.stopped = True
        self.end = End("Cancelled", None)


@pytest.fixture
def born() -> list[Scripted]:
    return []


def family(
    tmp_path: Path, born: list[Scripted], *, steps: int = 3, depth: int = 0, room: Room | None = None
) -> ChildRuns:
    def nursery(birth: Birth) -> Scripted:
        if birth.params.get("n") == "x":
            raise BadFlag("n is no number")
        born.append(Scripted(birth, steps))
        return born[-1]

    room = room or Room(1)
    graph = StateGraph((), {})
    return ChildRuns(PARENT, graph, room, Cas(tmp_path / "cas"), config=RunConfig(), depth=depth, nursery=nursery)


def pumped(steps: Performance) -> tuple[Outcome, list[Event]]:
    """A performance's end, and its events."""
    events: list[Event] = []
    try:
        step = next(steps)
        while True:
            if not isinstance(step, Wait):
                events.append(step)
            step = steps.send(() if isinstance(step, Wait) else None)
    except StopIteration as end:
        return end.value, events


def said(children: ChildRuns, key: str, known: Any = None, namespace: str = SPAWN, **request: Any) -> Any:
    """What a call comes to, with nobody else at work."""
    steps = children.call(ACTION, namespace, request, key, known)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value
    except Refused as refused:
        return refused.info.code


def test_the_id_of_a_child_follows_from_its_parent_and_key() -> None:
    assert child_run_id(PARENT, "k") == "72c97989-2784-5f8f-a28b-2ed6c85cc6f3"


@pytest.mark.parametrize("name", ["//:b", ":b", op_of(Label("", "b"))])
def test_a_target_is_named_by_its_op_or_its_label(tmp_path: Path, born: list[Scripted], name: str) -> None:
    reply = said(family(tmp_path, born), "k", op_id=name, op_config={"n": 1}, input={"m": 2}, initial_context={"c": 3})
    assert reply == {
        "parent_run_id": PARENT,
        "child_run_id": "72c97989-2784-5f8f-a28b-2ed6c85cc6f3",
        "child_manifest_id": EMPTY_CONTEXT,
        "child_initial_snapshot_id": EMPTY_CONTEXT,
    }
    (one,) = born
    assert (one.birth.label, one.birth.params, one.birth.initial) == (Label("", "b"), {"n": 1, "m": 2}, {"c": 3})
    assert one.birth.parent == {"run_id": PARENT, "fact_key": "k", "depth": 1}


def test_the_same_key_is_the_same_child_and_another_request_a_conflict(tmp_path: Path, born: list[Scripted]) -> None:
    children = family(tmp_path, born)
    first = said(children, "k", op_id=":b")
    assert said(children, "k", op_id="//:b") == first
    assert said(children, "k", first, op_id="//:b") == first
    assert said(children, "k", op_id=":b", input={"n": 1}) == "child_run_conflict"
    assert said(children, "k", {"child_run_id": "another"}, op_id=":b") == "child_run_conflict"
    assert len(born) == 1


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"op_id": "//:c"}, "child_run_undeclared"),
        ({"op_id": "c"}, "child_run_undeclared"),
        ({}, "child_run_request_invalid"),
        ({"op_id": "//a b"}, "child_run_request_invalid"),
        ({"op_id": ":b", "kind": "run_program_v1"}, "child_run_request_invalid"),
        ({"op_id": ":b", "op_version": "0"}, "child_run_request_invalid"),
        ({"op_id": ":b", "run_config": {"io_mode": "Live"}}, "child_run_request_invalid"),
        ({"op_id": ":b", "op_config": {"n": 1}, "input": {"n": 1}}, "child_run_request_invalid"),
        ({"op_id": ":b", "input": {"n": "x"}}, "bad_flag"),
    ],
)
def test_what_is_no_such_request_is_refused(tmp_path: Path, born: list[Scripted], request_: Any, code: str) -> None:
    assert said(family(tmp_path, born), "k", **request_) == code


def test_the_run_config_of_the_parent_may_be_said(tmp_path: Path, born: list[Scripted]) -> None:
    assert isinstance(said(family(tmp_path, born), "k", op_id=":b", run_config=RunConfig().doc()), dict)


def test_there_are_bounds(tmp_path: Path, born: list[Scripted]) -> None:
    assert said(family(tmp_path, born, depth=DEEPEST), "k", op_id=":b") == "child_run_too_deep"
    children = family(tmp_path, born)
    replies = [said(children, f"k{number}", op_id=":b") for number in range(MOST + 1)]
    assert replies[-1] == "child_run_too_many" and replies[-2] != "child_run_too_many"


@pytest.mark.parametrize("is_new", [True, False])
def test_only_a_new_child_is_told_of_and_its_parent_is_marked_before(tmp_path: Path, is_new: bool) -> None:
    told: list[str] = []
    children = ChildRuns(
        PARENT,
        StateGraph((), {}),
        Room(1),
        Cas(tmp_path / "cas"),
        config=RunConfig(),
        nursery=lambda birth: Scripted(birth, 1, is_new=is_new),
        on_spawn=lambda: told.append("marked"),
    )
    for step in children.call(ACTION, SPAWN, {"op_id": ":b"}, "k", None):
        told += [step.name] if isinstance(step, Domain) else []
    assert told == ["marked", "child_run_spawned", "child_run_completed"][0 if is_new else 2 :]


def performed(children: ChildRuns, keys: list[str], awaits: bool, ok: bool = True) -> Performance:
    replies = []
    for key in keys:
        replies.append((yield from children.call(ACTION, SPAWN, {"op_id": ":b"}, key, None)))
    for reply in replies if awaits else ():
        named = {name: reply[name] for name in ("child_run_id", "child_manifest_id")}
        ended = yield from children.call(ACTION, AWAIT, named, "w", None)
        assert ended == {
            "child_run_id": reply["child_run_id"],
            "status": "Completed",
            "final_snapshot_id": EMPTY_CONTEXT,
            "final_snapshot": {},
        }
    return Outcome() if ok else Outcome(cancelled=True)


@pytest.mark.parametrize("awaits", [True, False])
def test_children_are_driven_together_and_end_before_their_state(
    tmp_path: Path, born: list[Scripted], awaits: bool
) -> None:
    room = Room(1)
    room.enter(None)
    children = family(tmp_path, born, room=room)
    outcome, events = pumped(children.accompanied("a.main.call", performed(children, ["k", "l"], awaits)))
    assert outcome.ok and [one.end for one in born] == [End("Completed", EMPTY_CONTEXT)] * 2
    assert [event.name for event in events if isinstance(event, Domain)] == [
        *(["child_run_spawned"] * 2),
        *(["child_run_completed"] * 2),
    ]
    assert not room.has_place  # what was lent is taken back


def test_a_state_that_failed_ends_its_children(tmp_path: Path, born: list[Scripted]) -> None:
    children = family(tmp_path, born, steps=99)
    outcome, events = pumped(children.accompanied("a.main.call", performed(children, ["k"], False, ok=False)))
    assert outcome.cancelled and born[0].stopped
    assert [event.payload["status"] for event in events if isinstance(event, Domain) and "status" in event.payload] == [
        "Cancelled"
    ]


def test_a_performance_that_is_closed_ends_its_children(tmp_path: Path, born: list[Scripted]) -> None:
    children = family(tmp_path, born, steps=99)
    steps = children.accompanied("a.main.call", performed(children, ["k", "l"], True))
    for _ in range(20):
        steps.send(None)
    steps.close()
    assert [one.stopped for one in born] == [True, True]


def test_a_child_that_broke_is_not_stopped_too(tmp_path: Path, born: list[Scripted]) -> None:
    def broken() -> Wait | None:
        raise DiskRefused("full")

    children = family(tmp_path, born, steps=99)
    steps = children.accompanied("a.main.call", performed(children, ["k", "l"], True))
    while len(born) < 2 or born[1].left > 90:
        steps.send(None)
    born[0].step = broken  # type: ignore[method-assign]
    with pytest.raises(DiskRefused):
        for _ in range(20):
            steps.send(None)
    assert [one.stopped for one in born] == [False, True]


def test_a_performance_hears_of_its_own_descriptors_only(tmp_path: Path, born: list[Scripted]) -> None:
    children = family(tmp_path, born, steps=99)

    def listening() -> Generator[Event | Wait, Any, Outcome]:
        yield from children.call(ACTION, SPAWN, {"op_id": ":b"}, "k", None)
        until = time.monotonic() + 60
        assert (yield Wait((7,), until)) == (7,)
        return Outcome(cancelled=True)

    steps = children.accompanied("a.main.call", listening())
    step: Any = next(steps)
    while not (isinstance(step, Wait) and step.descriptors):
        step = steps.send(() if isinstance(step, Wait) else None)
    assert step.deadline == 0.0  # that of the child, which is the first
    before = born[0].left
    assert isinstance(steps.send((9,)), Wait) and born[0].left == before - 1
    outcome, _ = pumped_from(steps, (7, 9))
    assert outcome.cancelled


def pumped_from(steps: Performance, ready: tuple[int, ...]) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    try:
        step = steps.send(ready)
        while True:
            events += [] if isinstance(step, Wait) else [step]
            step = steps.send(None)
    except StopIteration as end:
        return end.value, events


def test_who_awaits_must_know_the_child(tmp_path: Path, born: list[Scripted]) -> None:
    children = family(tmp_path, born, steps=1)
    reply = said(children, "k", op_id=":b")
    named = {"child_run_id": reply["child_run_id"], "child_manifest_id": reply["child_manifest_id"]}
    assert said(children, "w", None, AWAIT, **{**named, "child_manifest_id": "b" * 64}) == "child_run_unknown"
    assert said(children, "w", None, AWAIT, **{**named, "child_run_id": str(PARENT)}) == "child_run_unknown"
    assert said(children, "w", None, AWAIT, **{**named, "child_run_id": "no"}) == "child_run_request_invalid"
    ended = {"child_run_id": reply["child_run_id"], "status": "Completed"}
    assert said(children, "w", {**ended, "child_run_id": "other"}, AWAIT, **named) == "child_run_conflict"
    assert said(children, "w", reply, AWAIT, **named) == "child_run_conflict"  # the fact of a spawn is no end
    assert said(children, "w", ended, AWAIT, **named) == ended


def test_the_end_of_a_child_holds_its_context(tmp_path: Path, born: list[Scripted]) -> None:
    children = family(tmp_path, born, steps=1)
    Cas(tmp_path / "cas").put(canonical({"x": 1}))
    reply = said(children, "k", op_id=":b")
    for end, snapshot in ((End("Failed", sha256(canonical({"x": 1}))), {"x": 1}), (End("Failed", None), None)):
        born[0].end = end
        named = {"child_run_id": reply["child_run_id"], "child_manifest_id": reply["child_manifest_id"]}
        assert said(children, "w", None, AWAIT, **named)["final_snapshot"] == snapshot
