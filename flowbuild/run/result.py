"""Results: where every wanted state of an evaluation ended, and what a failure leaves to be started.

Knows nothing of how it came to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from flowbuild.core.action import ErrorInfo
from flowbuild.core.event import StateStatus
from flowbuild.graph.state import State, StateGraph
from flowbuild.store.tree import Artifact


class Continue(StrEnum):
    """What may still start after a failure."""

    NEVER = "never"
    SUCCESSFUL = "dependencies-successful"
    ALWAYS = "always"


@dataclass(slots=True)
class Result:
    """Where every wanted state ended. `signal` is set when the run was cancelled."""

    status: dict[int, StateStatus]
    keys: dict[int, str] = field(default_factory=dict)
    products: dict[int, Mapping[str, Artifact]] = field(default_factory=dict)
    errors: dict[int, ErrorInfo] = field(default_factory=dict)
    signal: int | None = None
    left: dict[int, Mapping[str, Mapping[str, Artifact]]] = field(default_factory=dict)  # by children of what failed

    def numbers(self, *wanted: StateStatus) -> list[int]:
        return [number for number, status in self.status.items() if status in wanted]

    @property
    def ok(self) -> bool:
        return self.signal is None and not self.numbers(StateStatus.FAILED, StateStatus.NOT_STARTED)


def blocked_by(graph: StateGraph, result: Result) -> Iterable[tuple[State, State]]:
    """Each state that was not started, with the failed state that it needs, if one is to blame."""
    cause: dict[int, int] = {number: number for number in result.numbers(StateStatus.FAILED, StateStatus.CANCELLED)}
    for number in sorted(result.numbers(StateStatus.NOT_STARTED)):
        guilty = next((cause[need] for need in graph.states[number].needs if need in cause), None)
        if guilty is not None:
            cause[number] = guilty
            yield graph.states[number], graph.states[guilty]
