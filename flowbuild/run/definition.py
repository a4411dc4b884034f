"""Definitions: what a run of a target would do, before any of its inputs that states make is known.

Knows nothing of runs. A state whose handler may run other targets depends on what those are: their definitions stand
in its action. A definition holds all that the actions of the run will hold, but for what its states hand on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flowbuild.core.canonical import Digest, canonical, digest, sha256
from flowbuild.core.label import Label
from flowbuild.graph.spawned import behind
from flowbuild.graph.state import State, StateGraph


class Definitions:
    """The definitions of the targets of a graph. `bound` is the document of a state's action without products."""

    def __init__(self, graph: StateGraph, bound: Callable[[State], Any]) -> None:
        self._graph = graph
        self._bound = bound
        self._known: dict[Label, Digest] = {}

    def of(self, state: State) -> dict[str, Digest]:
        """The definition of each target that a state's handler may run."""
        return {str(label): self._one(label) for label in state.spawns}

    def sources(self, state: State) -> Iterator[str]:
        """The workspace files that a state's handler may have others read."""
        for number in behind(self._graph.states, self._graph.targets, state.spawns):
            yield from self._graph.states[number].sources

    def _one(self, label: Label) -> Digest:
        found = self._known.get(label)
        if found is None:
            numbers = behind(self._graph.states, self._graph.targets, [label])
            states = [self._graph.states[number] for number in numbers]
            found = self._known[label] = digest({one.id: sha256(canonical(self._bound(one))) for one in states})
        return found
