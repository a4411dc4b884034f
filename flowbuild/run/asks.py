"""What the evaluator asks of a run, and what it hands back: the seam between order and the stores.

Knows nothing of either side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import Digest
from flowbuild.core.event import Event
from flowbuild.engine.engine import Performance
from flowbuild.graph.state import State
from flowbuild.run.spread import Child
from flowbuild.store.memo import Record
from flowbuild.store.tree import Artifact

Products = Mapping[int, Mapping[str, Artifact]]


class Desk(Protocol):
    """One run's desk: see `desk.RunDesk`."""

    def bind(self, state: State, products: Products) -> Action: ...

    def children(self, state: State) -> Sequence[Child]:
        """The children of a state with a fan-out, as it was bound last."""

    def passed_over(self, number: int, products: Products) -> list[Event] | None:
        """What is said of a state that is not performed, now that all it waits for has ended; None for another."""

    def done(self, state: State, action: Action) -> Mapping[str, Artifact] | None:
        """The outputs of a state, or of a child, that completed in this very run, before it was killed and gone on
        with."""

    def attempt(self, state: State) -> int:
        """The number of the next attempt at a state."""

    def remembered(self, state: State, action: Action) -> Record | None:
        """The record to reuse for this action, by policy and by what the store still holds."""

    def perform(self, state: State, action: Action) -> Performance: ...

    def begin(self, state: State, action: Action) -> None:
        """Keep what an action is, before anything of it is done."""

    def join(self, state: State, action: Action, made: Mapping[str, Mapping[str, Artifact]]) -> Outcome:
        """What a fan-out comes to, of what its children made, by key."""

    def remember(self, state: State, action: Action, outcome: Outcome, wall_ms: int) -> list[Event]:
        """Keep an outcome if it may be kept; what it says about that, such as an input that moved."""

    def ended(self, number: int, products: Products) -> Digest:
        """The snapshot of the context that a completed state leaves."""

    def interrupt(self) -> None:
        """Ask all that is under way to end."""

    def signalled(self) -> int | None:
        """The signal that asked us to stop, if one came."""

    @property
    def wakeup(self) -> int | None:
        """A descriptor that is readable once a signal has come."""
