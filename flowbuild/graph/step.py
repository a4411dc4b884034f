"""Steps: what a state has beside its action when it is one step of a flow.

Knows nothing of YAML, of Flow IR or of engines. A state is static; which of a flow's states run is not. So each step
names the ways that lead to it, and a way is taken or not by how the state before it ended: with a result or with an
error, and after a switch by which case.

Shapes:  a step's state has the output `result`, a JSON object. A step whose failure leads somewhere leaves `error`
         instead when it fails: {"error": ErrorInfo}. Both are what `$step.<name>` stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

RESULT, ERROR = "result", "error"

# Kinds that only say which way a flow goes. They are performed here, whatever engine performs the steps.
CONTROL = frozenset({"switch", "finish", "flow"})
# Kinds of our own that no step may have: the end of a flow, and a whole one.
RESERVED = frozenset({"flow", "ir"})


class On(StrEnum):
    """How a step ended, as an edge says it."""

    SUCCESS = "success"
    FAILURE = "failure"


class Way(NamedTuple):
    """One edge that leads to a step: from which state, on what, and after a switch by which of its cases."""

    state: int
    on: On
    case: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step. Without ways it is where the flow begins. `reads` says which state `step.<name>` or `input.<name>`
    stands for; None leaves such references as they are.
    """

    name: str
    ways: tuple[Way, ...] = ()
    reads: Mapping[str, int] | None = None
    retry_max: int = 0
    backoff_ms: int = 0
    catches: bool = False  # whether an edge leads on from its failure
    flow_timeout_ms: int | None = None

    @property
    def needs(self) -> Iterator[int]:
        """The numbers of the states that must have ended before it can be said whether it runs."""
        yield from (way.state for way in self.ways)
        yield from (self.reads or {}).values()
