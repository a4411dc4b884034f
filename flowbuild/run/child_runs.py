"""Child runs: whole runs of other targets that a handler spawns and awaits, each with an id and a journal of its own.

Knows nothing of how a target becomes a run, or of bundles: that is the nursery's. A child is driven beside the
performance of the state that spawned it, and does not outlive it: what nobody awaited is waited for when the state
has succeeded, and ended when it has failed.

Approach: a child's evaluation is a guest in its parent's room, so that `-j` and pools hold for all of them together.
Whoever awaits lends its place meanwhile. The id follows from the parent's id and the fact key. So a parent that was
killed and is gone on with asks for the same child again, and finds it where it was.

Shapes:  spawn {"kind": "child_run_spawn_v1", "op_id", "op_version", "op_config", "input", "run_config",
         "initial_context"} -> {"parent_run_id", "child_run_id", "child_manifest_id", "child_initial_snapshot_id"};
         await {"kind": "child_run_await_v1", "child_run_id", "child_manifest_id"} -> {"child_run_id", "status",
         "final_snapshot_id", "final_snapshot"}. `op_id` is the op of a target, or its label.
Errors:  as answers: child_run_fact_key_missing, child_run_request_invalid, child_run_undeclared, child_run_conflict,
         child_run_too_deep, child_run_too_many, child_run_unknown; the code of what is wrong with a parameter.
Source:  seed 001, child runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import EMPTY_CONTEXT, Digest
from flowbuild.core.errors import BadLabel, RunStale, StoreError, UserError
from flowbuild.core.event import Domain, Event
from flowbuild.core.ids import RunId, child_run_id
from flowbuild.core.label import Label, parse
from flowbuild.core.run_config import RunConfig
from flowbuild.engine.engine import Performance, Ready, Wait
from flowbuild.engine.transport import Refused, Replying
from flowbuild.graph.state import StateGraph
from flowbuild.run.child_request import AWAIT, INVALID, SPAWN, awaited, declared, named, spawn
from flowbuild.run.context import snapshot_of
from flowbuild.run.room import Room
from flowbuild.store.cas import Cas

SPAWNED, COMPLETED = "child_run_spawned", "child_run_completed"
DEEPEST = 8
MOST = 64  # at work at once, of one run


class Birth(NamedTuple):
    """What is asked of a nursery. `parent` is as the child's manifest says it: its run's id, the fact key and how deep
    the child stands. `initial` is None for one that must be there already."""

    run_id: RunId
    label: Label
    params: Mapping[str, Any]
    initial: Mapping[str, Any] | None
    parent: Mapping[str, Any]
    graph: StateGraph
    room: Room
    config: RunConfig


class End(NamedTuple):
    """How a run ended, in the journal's word."""

    status: str
    final_snapshot_id: Digest | None


class Offspring(Protocol):
    """A child run as its nursery made it. `end` is there already where it ended in another process."""

    manifest_id: Digest
    initial_snapshot_id: Digest
    is_new: bool
    end: End | None

    def step(self) -> Wait | None:
        """Go on a little; what to wait for before the next step, None once it has ended, and `end` is there."""

    def stop(self) -> None:
        """End it now."""


class Nursery(Protocol):
    """Makes a run of what is asked, or finds the one that was made."""

    def __call__(self, birth: Birth) -> Offspring: ...


@dataclass(slots=True)
class Child:
    """One child, and the state that it belongs to."""

    run_id: RunId
    state_id: str
    asked: tuple[Any, ...]
    one: Offspring
    wait: Wait


class ChildRuns:
    """The children of one run. `config` is the run's own, `depth` how deep it stands; `on_spawn` hears before."""

    def __init__(
        self,
        run_id: RunId,
        graph: StateGraph,
        room: Room,
        cas: Cas,
        *,
        config: RunConfig,
        depth: int = 0,
        nursery: Nursery | None = None,
        on_spawn: Callable[[], None] = lambda: None,
    ) -> None:
        self._run_id = run_id
        self._graph = graph
        self._room = room
        self._cas = cas
        self._config = config
        self._depth = depth
        self._nursery = nursery
        self._on_spawn = on_spawn
        self._known: dict[RunId, Child] = {}
        self._table = {SPAWN: self._spawn, AWAIT: self._await}

    def serves(self, namespace: str) -> bool:
        """Whether a call of a namespace is one for child runs."""
        return self._nursery is not None and namespace in self._table

    def call(self, action: Action, namespace: str, request: Any, key: str, known: Any) -> Replying:
        """The reply to a call; `known` is what its fact says already."""
        return (yield from self._table[namespace](action, request, key, known))

    def accompanied(self, state_id: str, steps: Performance) -> Performance:
        """A performance, and beside it the runs that it spawns, none of which outlives it."""
        ready: Ready = None
        try:
            while True:
                step = steps.send(ready)
                ready = (yield from self._meanwhile(state_id, step)) if isinstance(step, Wait) else (yield step)
        except StopIteration as end:
            outcome: Outcome = end.value
            if outcome.ok:
                yield from self._until(lambda: not self._at_work(state_id), state_id)
            for child in self._at_work(state_id):
                child.one.stop()
                yield self._completed(child)
            return outcome
        finally:
            steps.close()
            for child in self._at_work(state_id):
                child.one.stop()

    def _at_work(self, state_id: str | None = None) -> list[Child]:
        mine = (child for child in self._known.values() if state_id in (None, child.state_id))
        return [child for child in mine if child.one.end is None]

    def _meanwhile(self, state_id: str, own: Wait) -> Generator[Event | Wait, Ready, Ready]:
        """Let children go on until there is what the performance itself waits for."""
        while children := self._at_work(state_id):
            ready = (yield _first([own, *(child.wait for child in children)])) or ()
            now = time.monotonic()
            for child in children:
                if _is_due(child.wait, ready, now):
                    yield from self._advance(child)
            if _is_due(own, ready, now):
                return tuple(descriptor for descriptor in ready if descriptor in own.descriptors)
        return (yield own)

    def _until(self, is_so: Callable[[], bool], state_id: str) -> Generator[Event | Wait, Ready, None]:
        """Wait for others, and lend them the place that one has."""
        self._room.lend()
        try:
            while not is_so() or not self._room.has_place:
                yield from self._meanwhile(state_id, Wait((), None, for_others=True))
        finally:
            self._room.reclaim()

    def _advance(self, child: Child) -> Generator[Event | Wait, Ready, None]:
        try:
            wait = child.one.step()
        except BaseException:  # it broke, as a full disk does, and there is nothing left to stop
            del self._known[child.run_id]
            raise
        if wait is not None:
            child.wait = wait
            return
        self._room.stir()
        yield self._completed(child)
        yield Wait((), 0.0)  # at least once without its descriptor, whose number another may have next

    def _completed(self, child: Child) -> Domain:
        assert child.one.end is not None, "it has ended"
        return Domain(COMPLETED, {"child_run_id": child.run_id, **child.one.end._asdict(), "state_id": child.state_id})

    def _spawn(self, action: Action, request: Any, key: str, known: Any) -> Replying:
        asked = self._asked(action, request)
        found = child_run_id(self._run_id, key)
        if known is not None and known.get("child_run_id") != found:
            raise Refused("child_run_conflict", f"the fact {key!r} is no spawned run")
        child = self._known.get(found)
        if child is not None and child.asked != asked:
            raise Refused("child_run_conflict", f"the fact key {key!r} was used for another child run", "Storage")
        if child is None:
            child = yield from self._born(action, found, key, asked)
        return {
            "parent_run_id": self._run_id,
            "child_run_id": found,
            "child_manifest_id": child.one.manifest_id,
            "child_initial_snapshot_id": child.one.initial_snapshot_id,
        }

    def _born(
        self, action: Action, found: RunId, key: str, asked: tuple[Any, ...]
    ) -> Generator[Event | Wait, Ready, Child]:
        """A child that is known from here on; a new one is told of before it begins."""
        if self._depth >= DEEPEST:
            raise Refused("child_run_too_deep", f"a child run may stand {DEEPEST} deep, and no deeper")
        if len(self._at_work()) >= MOST:
            remedy = "await some of them before you spawn more"
            raise Refused("child_run_too_many", f"{MOST} child runs are at work; {remedy}")
        label, params, initial = asked
        parent = {"run_id": self._run_id, "fact_key": key, "depth": self._depth + 1}
        one = self._made(Birth(found, label, params, initial, parent, self._graph, self._room, self._config))
        child = self._known[found] = Child(found, action.state_id, asked, one, Wait((), 0.0))
        if one.is_new:
            self._on_spawn()
            spawned = {
                "parent_run_id": self._run_id,
                "child_run_id": found,
                "child_manifest_id": one.manifest_id,
                "fact_key": key,
                "label": str(label),
                "state_id": action.state_id,
            }
            yield Domain(SPAWNED, spawned)
            yield Wait((), 0.0)
        if one.end is None:
            yield from self._advance(child)
        else:
            yield self._completed(child)
        return child

    def _made(self, birth: Birth) -> Offspring:
        assert self._nursery is not None, "serves() says so"
        try:
            return self._nursery(birth)
        except (UserError, RunStale) as error:
            raise Refused(
                error.code, f"{birth.label} can't be run so: {error.message}", details=error.details
            ) from None

    def _asked(self, action: Action, request: Any) -> tuple[Label, dict[str, Any], dict[str, Any]]:
        """The target, its parameters and the context that it begins with."""
        label, params, initial, config = spawn(action, request)
        if config and config != self._config.doc():
            raise Refused(INVALID, "a child run has the run_config of its parent; leave it null")
        return label, params, initial

    def _await(self, action: Action, request: Any, key: str, known: Any) -> Replying:
        doc = awaited(request)
        if known is not None:
            if known.get("child_run_id") != doc["child_run_id"] or "status" not in known:
                raise Refused("child_run_conflict", f"the fact {key!r} is not how this child run ended", "Storage")
            return known
        child = self._known.get(named(doc["child_run_id"])) or (yield from self._found(action, doc))
        if child.one.manifest_id != doc["child_manifest_id"]:
            raise Refused("child_run_unknown", f"the child run {child.run_id} has another manifest")
        yield from self._until(lambda: child.one.end is not None, "")
        end = child.one.end
        assert end is not None, "it was waited for"
        return {"child_run_id": child.run_id, **end._asdict(), "final_snapshot": self._snapshot(end.final_snapshot_id)}

    def _found(self, action: Action, doc: Mapping[str, Any]) -> Generator[Event | Wait, Ready, Child]:
        """A child that a state spawned which is done since another process was at work on this run."""
        unknown = Refused("child_run_unknown", f"this run has no child {doc['child_run_id']}")
        try:
            asked = json.loads(self._cas.read(Digest(doc["child_manifest_id"])))["input_params"]
            parent, label = asked["parent"], parse(asked["label"])
            key, params = parent["fact_key"], asked["params"]
        except (StoreError, BadLabel, ValueError, KeyError, TypeError):
            raise unknown from None
        declared(asked["label"], action)  # who may not spawn it is not accompanied by it either
        found = child_run_id(self._run_id, key)
        if parent["run_id"] != self._run_id or found != doc["child_run_id"] or label not in self._graph.targets:
            raise unknown
        return (yield from self._born(action, found, key, (label, params, None)))

    def _snapshot(self, digest: Digest | None) -> Any:
        if digest is None or digest == EMPTY_CONTEXT:
            return None if digest is None else {}
        return snapshot_of(self._cas.read(digest), digest)


def _first(waits: Iterable[Wait]) -> Wait:
    """The wait for whatever of several is there first."""
    waits = list(waits)
    deadlines = (wait.deadline for wait in waits if wait.deadline is not None)
    descriptors = tuple(descriptor for wait in waits for descriptor in wait.descriptors)
    return Wait(descriptors, min(deadlines, default=None), any(wait.for_others for wait in waits))


def _is_due(wait: Wait, ready: tuple[int, ...], now: float) -> bool:
    is_late = wait.deadline is not None and wait.deadline <= now
    return is_late or wait.for_others or any(descriptor in ready for descriptor in wait.descriptors)
