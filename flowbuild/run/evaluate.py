"""Evaluate: take ready states in a stable order, reuse or perform each, and yield what happens.

Knows nothing of files, terminals or bundles: it asks a `Desk` what is remembered and hands it what was found.

Approach: states are numbers. A heap holds those whose needs are all met, lowest first. Up to `jobs` performances
are open at once, each a generator; one selector waits for all of their descriptors. A performance that ends frees
the states that waited for it. When a state fails, `--continue` says what may still start. A signal closes every
open performance, and the rest is never started. The evaluation of a child run has the room of its parent, and never
blocks: its selector is one descriptor of the parent's.

Shapes:  yields a list of events a step, in journal order; returns a `Result`.
Errors:  a failing action is an outcome. What is raised from here is a fault of files, store or engine.
Source:  Build Systems à la Carte: the topological scheduler.
"""

from __future__ import annotations

import itertools
import selectors
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowbuild.core.action import ErrorInfo, Outcome
from flowbuild.core.event import LIFECYCLE, Domain, Event, StateCompleted, StateEntered, StateFailed, StateStatus
from flowbuild.engine.engine import Performance, Wait
from flowbuild.graph.state import StateGraph
from flowbuild.run.asks import Desk
from flowbuild.run.fanout import Begun, Fanout, Fanouts
from flowbuild.run.followers import Followers
from flowbuild.run.ready import Ready
from flowbuild.run.result import Continue, Result
from flowbuild.run.room import Room
from flowbuild.run.spread import Child
from flowbuild.store.tree import Artifact


@dataclass(slots=True)
class _Open(Begun):
    """A performance under way: a state's, or that of a child of one. `job` tells them apart."""

    job: int
    steps: Performance
    child: tuple[Fanout, Child] | None = None
    descriptors: tuple[int, ...] = ()
    deadline: float | None = None
    since: int | None = None  # for_others: what had moved in the room when it was last advanced


class Evaluation:
    """One pass over the wanted states of a graph. Iterate `run()`; its value is the `Result`.

    With `tick_s`, an empty batch is yielded at least that often, for whoever shows that time goes on. A guest in the
    room of others never blocks: it yields an empty batch instead, while `waiting` says what for.
    """

    def __init__(
        self,
        graph: StateGraph,
        wanted: Sequence[int],
        desk: Desk,
        *,
        room: Room,
        is_guest: bool = False,
        keep_going: Continue = Continue.NEVER,
        tick_s: float | None = None,
    ) -> None:
        self._states = graph.states
        self._desk = desk
        self._room = room
        self._is_guest = is_guest
        self.waiting: Wait | None = None
        self._keep_going = keep_going
        self._tick_s = tick_s
        self._result = Result(dict.fromkeys(wanted, StateStatus.WAITING))
        # Few descriptors, which come and go with every state: poll(2) is told of them in the call that waits.
        self._selector = selectors.PollSelector()
        self._open: dict[int, _Open] = {}
        self._begun: _Open | None = None  # the journal is being told of it, and then it may act
        self._stopping = False
        self._followers = Followers(self._states, wanted)
        self._ready = Ready(self._states, self._room)
        self._fanouts = Fanouts(desk, self._room, goes_on=keep_going is not Continue.NEVER)
        self._jobs_of_children = itertools.count(len(graph.states))
        self._start_soon(self._followers.ready)

    def run(self) -> Generator[list[Event], None, Result]:
        """Perform what must be performed; every yield is what happened in one step."""
        if self._desk.wakeup is not None:
            self._selector.register(self._desk.wakeup, selectors.EVENT_READ, None)
        try:
            while self._ready or self._open or self._fanouts:
                while (events := self._start_one()) is not None:
                    yield events
                if self._desk.signalled() is not None:
                    break
                if not self._open and not self._may_yet_start():
                    break
                yield from self._pump()
            if self._desk.signalled() is not None:
                self._result.signal = self._desk.signalled()
                yield from self._cancel()
        finally:
            for one in self._open.values():
                one.steps.close()
            self._selector.close()
        # One that is running still is refused by the table: it would pass for done.
        for number in self._result.numbers(StateStatus.WAITING, StateStatus.READY, StateStatus.RUNNING):
            self._move(number, StateStatus.NOT_STARTED)
        return self._result

    def _start_one(self) -> list[Event] | None:
        """Start another child or state, if one may. A signal counts at once: reusing a thousand takes time too."""
        if self._desk.signalled() is not None:
            return None
        if self._begun is not None:
            one, self._begun = self._begun, None
            return self._advance(one, None)
        if not self._room.has_place:
            return None
        child = self._fanouts.pop()
        if child is not None:
            return self._start_child(*child)
        number = self._ready.pop() if not self._stopping else None
        return None if number is None else self._start(number)

    def _may_yet_start(self) -> bool:
        """Whether others may make room for what is ready; where nothing is open, only those of another run can."""
        is_waiting = bool(self._fanouts) or (bool(self._ready) and not self._stopping)
        return self._is_guest and is_waiting

    def _move(self, number: int, status: StateStatus) -> None:
        """Every change of a state's status passes here, and none leaves LIFECYCLE."""
        before = self._result.status[number]
        if status not in LIFECYCLE[before]:
            raise RuntimeError(f"{self._states[number].id}: {before} can't become {status}")
        self._result.status[number] = status

    def _start(self, number: int) -> list[Event]:
        """Bind one ready state; reuse what is remembered, or open its performance."""
        state = self._states[number]
        passed_over = self._desk.passed_over(number, self._result.products)
        if passed_over is not None:
            self._move(number, StateStatus.SKIPPED)
            self._start_soon(self._followers.free(number))
            return passed_over
        action = self._desk.bind(state, self._result.products)
        self._result.keys[number] = action.key
        done = self._desk.done(state, action)
        if done is not None:  # the journal says it already
            self._result.products[number] = done
            self._move(number, StateStatus.REUSED)
            self._start_soon(self._followers.free(number))
            return []
        events: list[Event] = [StateEntered(state.id, self._desk.attempt(state), action.base)]
        record = self._desk.remembered(state, action)
        if record is not None:
            self._result.products[number] = record.outputs
            self._move(number, StateStatus.REUSED)
            self._start_soon(self._followers.free(number))
            payload = {
                "action": action.key,
                "label": action.label,
                "outputs": _digests(record.outputs),
                "performed_in": record.run_id,
                "state_id": state.id,
            }
            return [*events, Domain("reused", payload), self._completed(number)]
        self._move(number, StateStatus.RUNNING)
        bound = {"action": action.key, "label": action.label, "state_id": state.id}
        if state.fan is not None and action.refused is None:
            events.append(Domain("action_bound", {**bound, "items": len(self._desk.children(state))}))
            return events + self._over(self._fanouts.begin(number, state, action))
        events.append(Domain("action_bound", bound))
        self._begin(_Open(number, action, number, self._desk.perform(state, action)))
        return events

    def _start_child(self, fan: Fanout, child: Child) -> list[Event]:
        """Take what is known of a child, or open its performance."""
        events = self._fanouts.known(fan, child)
        if events is not None:
            return events + self._over(fan)
        steps, job = self._desk.perform(child.state, child.action), next(self._jobs_of_children)
        one = _Open(fan.number, child.action, job, steps, (fan, child))
        self._begin(one)
        return [self._fanouts.bound(fan, child)]

    def _begin(self, one: _Open) -> None:
        """Open a performance. Nothing of it happens before what was said so far is in the journal."""
        self._room.enter(self._states[one.number].pool)
        self._open[one.job] = self._begun = one

    def _over(self, fan: Fanout) -> list[Event]:
        """What a fan-out came to, if that was the last of its children."""
        outcome = self._fanouts.outcome(fan)
        return [] if outcome is None else self._settle(fan, outcome)

    def _pump(self) -> Generator[list[Event], None, None]:
        """Wait until something is ready, and advance what it is ready for."""
        timeout = yield from self._patience()
        ready: dict[int, list[int]] = {}
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                ready.setdefault(key.data, []).append(key.fd)
        if self._desk.signalled() is not None:
            return
        if not ready:
            yield []  # nothing happened, and time went on
        now = time.monotonic()
        late = [n for n, one in self._open.items() if self._is_due(one, now)]
        for number in sorted({*ready, *late}):
            events = self._advance(self._open[number], tuple(ready.get(number, ())))
            if events:
                yield events

    def _patience(self) -> Generator[list[Event], None, float | None]:
        """How long to select. A guest lets its host wait first, and then only looks."""
        deadlines = [one.deadline for one in self._open.values() if one.deadline is not None]
        deadline = 0.0 if any(map(self._is_stirred, self._open.values())) else min(deadlines, default=None)
        if self._is_guest:
            is_starved = bool(self._ready or self._fanouts) or any(one.since is not None for one in self._open.values())
            watched = (fd for one in self._open.values() for fd in one.descriptors)
            self.waiting = Wait(tuple(watched), deadline, is_starved)
            yield []
            self.waiting = None
            return 0.0
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._tick_s is not None:
            timeout = self._tick_s if timeout is None else min(timeout, self._tick_s)
        return timeout

    def _is_due(self, one: _Open, now: float) -> bool:
        return (one.deadline is not None and one.deadline <= now) or self._is_stirred(one)

    def _is_stirred(self, one: _Open) -> bool:
        return one.since is not None and one.since != self._room.moved

    def _advance(self, one: _Open, ready: tuple[int, ...] | None) -> list[Event]:
        """Pull one performance until it waits or ends."""
        moved = self._room.moved  # what moves while it is pulled may come after it looked
        events: list[Event] = []
        try:
            step = one.steps.send(ready)
            while not isinstance(step, Wait):
                events.append(step)
                step = one.steps.send(None)
        except StopIteration as end:
            self._leave(one)
            return events + self._ended(one, end.value)
        self._watch(one, step.descriptors)
        one.deadline, one.since = step.deadline, moved if step.for_others else None
        return events

    def _leave(self, one: _Open) -> None:
        """A performance is over."""
        self._watch(one, ())
        del self._open[one.job]
        self._room.leave(self._states[one.number].pool)

    def _watch(self, one: _Open, descriptors: tuple[int, ...]) -> None:
        if descriptors == one.descriptors:
            return
        for fd in set(one.descriptors) - set(descriptors):
            self._selector.unregister(fd)
        for fd in set(descriptors) - set(one.descriptors):
            self._selector.register(fd, selectors.EVENT_READ, one.job)
        one.descriptors = descriptors

    def _ended(self, one: _Open, outcome: Outcome) -> list[Event]:
        if one.child is None:
            return self._settle(one, outcome)
        return self._fanouts.settle(*one.child, outcome, one.wall_ms) + self._over(one.child[0])

    def _settle(self, one: Begun, outcome: Outcome) -> list[Event]:
        """Record what a state's action came to, and free what waited for it."""
        state, number = self._states[one.number], one.number
        if not outcome.ok:
            return self._fail(one, outcome, StateStatus.FAILED)
        artifacts = {name: Artifact.from_doc(doc) for name, doc in outcome.outputs.items()}
        notes = self._desk.remember(state, one.action, outcome, one.wall_ms)
        self._result.products[number] = artifacts
        self._move(number, StateStatus.COMPLETED)
        self._start_soon(self._followers.free(number))
        events: list[Event] = [
            Domain(
                "artifact_written",
                {"artifact": one.doc(), "artifact_id": one.sha256, "name": name, "state_id": state.id},
            )
            for name, one in sorted(artifacts.items())
        ]
        recorded = {"action": one.action.key, "outputs": _digests(artifacts), "state_id": state.id}
        return [*events, *notes, Domain("outcome_recorded", recorded), self._completed(number)]

    def _completed(self, number: int) -> StateCompleted:
        return StateCompleted(self._states[number].id, self._desk.ended(number, self._result.products))

    def _fail(self, one: Begun, outcome: Outcome, status: StateStatus) -> list[Event]:
        state = self._states[one.number]
        info = outcome.error or ErrorInfo("cancelled", "cancelled while it ran")
        self._result.errors[one.number] = info
        if isinstance(one, Fanout):
            self._result.left[one.number] = one.made
        self._move(one.number, status)
        if status is StateStatus.FAILED and self._keep_going is Continue.NEVER:
            self._stopping = True
        if status is StateStatus.FAILED and self._keep_going is not Continue.NEVER:
            tolerant = self._keep_going is Continue.ALWAYS
            self._start_soon(self._followers.lose(one.number, tolerant=tolerant))
        captured = {
            "label": one.action.label,
            "log": outcome.log,
            "reproduce": outcome.reproduce,
            "state_id": state.id,
            "stderr_tail": outcome.stderr_tail,
        }
        error = {"state_id": state.id, "info": info.doc()}
        return [Domain("output_captured", captured), StateFailed(state.id, error, outcome.failure_snapshot)]

    def _start_soon(self, numbers: Iterable[int]) -> None:
        """These states wait for nothing any more."""
        for number in numbers:
            self._move(number, StateStatus.READY)
            self._ready.push(number)

    def _cancel(self) -> Generator[list[Event], None, None]:
        """End every open performance; each state's attempt is closed as cancelled."""
        self._desk.interrupt()
        for one in list(self._open.values()):
            self._watch(one, ())
            one.steps.close()
            self._leave(one)
            if one.child is None:
                yield self._fail(one, Outcome(cancelled=True), StateStatus.CANCELLED)
        for fan in self._fanouts.cancel():
            yield self._fail(fan, Outcome(cancelled=True), StateStatus.CANCELLED)


def _digests(artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    return {name: artifact.sha256 for name, artifact in sorted(artifacts.items())}
