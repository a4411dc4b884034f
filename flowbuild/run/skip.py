"""Which states of a run are not performed because of their tags, and which ones that leaves without an input.

Knows nothing of journals or desks: this follows from the graph and the run's configuration alone. A state with a tag
that is skipped is entered, and completes with the context that it began with. One that would read its outputs has
nothing to read, and is skipped without being entered; one that only comes after it is performed.

Shapes:  number of a state to Skipped.
Source:  seed 001, `skip_tags`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flowbuild.core.event import Domain, Event, StateCompleted, StateEntered
from flowbuild.core.label import Label
from flowbuild.graph.state import Product, State


class Skipped(NamedTuple):
    """Why a state is skipped: for a tag that it has, or since it needs what another one would have made."""

    tag: str | None = None
    needs: Label | None = None

    def __str__(self) -> str:
        return f"it has the tag {self.tag}" if self.tag is not None else f"{self.needs} is skipped"

    @property
    def doc(self) -> dict[str, Any]:
        return {"tag": self.tag} if self.tag is not None else {"needs": str(self.needs)}


def skipped(states: Sequence[State], wanted: Sequence[int], tags: Sequence[str]) -> Mapping[int, Skipped]:
    """The wanted states that are skipped; `wanted` is in an order in which each comes after its needs."""
    found: dict[int, Skipped] = {}
    for number in wanted if tags else ():
        state = states[number]
        tag = next((tag for tag in tags if tag in state.tags), None)
        lost = next((need for need in _read(state) if need in found), None)
        if tag is not None:
            found[number] = Skipped(tag)
        elif lost is not None:
            found[number] = Skipped(needs=states[lost].label)
    return found


def _read(state: State) -> Iterator[int]:
    """The states whose outputs a state reads. A step reads what leads to it too: whether it runs is said there."""
    if state.step is not None:
        yield from state.step.needs
    yield from (item.state for one in state.inputs.values() for item in one.items if type(item) is Product)


def told(state: State, why: Skipped, attempt: int, base: str) -> list[Event]:
    """What is said of a state that is skipped. `base` is the snapshot that it would have begun with."""
    said = Domain("skipped", {"label": str(state.label), "state_id": state.id, **why.doc})
    if why.tag is None:
        return [said]
    return [StateEntered(state.id, attempt, base), said, StateCompleted(state.id, base)]
