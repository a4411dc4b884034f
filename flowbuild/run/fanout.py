"""Fan-outs under way: which children wait, what each came to, and when their state is over.

Knows nothing of selectors or performances: the evaluator opens those, and asks here what is next. Children go before
states that have not begun, so that what is begun ends first. A child that fails lets those under way end; whether the
others are begun is what `--continue` says.

Shapes:  the events `item_bound`, `item_reused`, `item_recorded` and `item_failed`, within the attempt of the state.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.event import Domain, Event
from flowbuild.graph.state import State
from flowbuild.run.asks import Desk
from flowbuild.run.room import Room
from flowbuild.run.spread import Child
from flowbuild.store.tree import Artifact

NAMED = 20  # items that failed, in the details of an error


@dataclass(slots=True)
class Begun:
    """A state's action that is begun."""

    number: int
    action: Action
    started: float = field(default_factory=time.monotonic, kw_only=True)

    @property
    def wall_ms(self) -> int:
        """Milliseconds since then."""
        return round((time.monotonic() - self.started) * 1000)


@dataclass(slots=True)
class Fanout(Begun):
    """One state at work on its items."""

    state: State
    waiting: deque[Child]
    working: int = 0
    made: dict[str, Mapping[str, Artifact]] = field(default_factory=dict)
    failed: list[tuple[Child, Outcome]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return not self.waiting and not self.working


class Fanouts:
    """All fan-outs of an evaluation that are under way, in the order in which they began."""

    def __init__(self, desk: Desk, room: Room, *, goes_on: bool) -> None:
        self._desk = desk
        self._room = room
        self._goes_on = goes_on
        self._open: dict[int, Fanout] = {}

    def __bool__(self) -> bool:
        """Whether a child waits."""
        return any(fan.waiting for fan in self._open.values())

    def begin(self, number: int, state: State, action: Action) -> Fanout:
        """Begin a state's fan-out; it may be over at once."""
        self._desk.begin(state, action)
        fan = self._open[number] = Fanout(number, action, state, deque(self._desk.children(state)))
        return fan

    def pop(self) -> tuple[Fanout, Child] | None:
        """The next child that may start; None when none waits, or each waits for its pool."""
        for fan in self._open.values():
            if fan.waiting and self._room.fits(fan.state.pool):
                return fan, fan.waiting.popleft()
        return None

    def known(self, fan: Fanout, child: Child) -> list[Event] | None:
        """What happened to a child that needn't be performed; None for one that must be."""
        done = self._desk.done(child.state, child.action)
        if done is not None:  # the journal says it already
            fan.made[child.action.key] = done
            return []
        record = self._desk.remembered(child.state, child.action)
        if record is None:
            return None
        fan.made[child.action.key] = record.outputs
        return [Domain("item_reused", {**_made(child, record.outputs), "performed_in": record.run_id})]

    def bound(self, fan: Fanout, child: Child) -> Event:
        """A child that is performed now."""
        fan.working += 1
        return Domain("item_bound", _child(child))

    def settle(self, fan: Fanout, child: Child, outcome: Outcome, wall_ms: int) -> list[Event]:
        """What a performed child came to."""
        fan.working -= 1
        if not outcome.ok:
            fan.failed.append((child, outcome))
            if not self._goes_on:
                fan.waiting.clear()
            info = outcome.error or ErrorInfo("cancelled", "cancelled while it ran")
            captured = {"log": outcome.log, "reproduce": outcome.reproduce}
            return [Domain("item_failed", {**_child(child), **captured, "info": info.doc()})]
        made = {name: Artifact.from_doc(doc) for name, doc in outcome.outputs.items()}
        notes = self._desk.remember(child.state, child.action, outcome, wall_ms)
        fan.made[child.action.key] = made
        return [Domain("item_recorded", _made(child, made)), *notes]

    def outcome(self, fan: Fanout) -> Outcome | None:
        """What a state came to, once no child of it waits or works."""
        if not fan.is_over:
            return None
        del self._open[fan.number]
        if fan.failed:
            return _failure(fan)
        return self._desk.join(fan.state, fan.action, fan.made)

    def cancel(self) -> list[Fanout]:
        """End all; those that were under way."""
        found = list(self._open.values())
        self._open.clear()
        return found


def _failure(fan: Fanout) -> Outcome:
    """The first item that failed, in item order, speaks for the state."""
    failed = sorted(fan.failed, key=lambda one: one[0].place)
    child, outcome = failed[0]
    info = outcome.error or ErrorInfo("cancelled", "cancelled while it ran")
    others = f" (and {len(failed) - 1} more items failed)" if len(failed) > 1 else ""
    return Outcome(
        error=ErrorInfo(
            info.code,
            f"item {child.place} ({child.name}): {info.message}{others}",
            info.category,
            details={"items": [one.name for one, _ in failed[:NAMED]], "failed": len(failed), "first": info.details},
        ),
        stderr_tail=outcome.stderr_tail,
        log=outcome.log,
        reproduce=outcome.reproduce,
    )


def _child(child: Child) -> dict[str, object]:
    return {"action": child.action.key, "item": child.name, "state_id": child.action.state_id}


def _made(child: Child, outputs: Mapping[str, Artifact]) -> dict[str, object]:
    return {**_child(child), "artifacts": {name: one.doc() for name, one in sorted(outputs.items())}}
