"""Events: one thing that happened, in the shapes of seed 001, and the lifecycles that they move.

Knows nothing of where events are kept or who reads them.

Shapes:  an event document is `{"Kernel": {variant: fields}}` or `{"Domain": {"name", "payload", "payload_ref"}}`.
Source:  seed 001 `events`; the table of state lifecycles below is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class RunStatus(StrEnum):
    """How a run ended, in the journal's words."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class RunStarted(NamedTuple):
    op_id: str
    manifest_id: str
    initial_snapshot_id: str


class StateEntered(NamedTuple):
    state_id: str
    attempt: int
    base_snapshot_id: str


class StateCompleted(NamedTuple):
    state_id: str
    context_snapshot_id: str


class StateFailed(NamedTuple):
    """`error` is `{"state_id", "info": ErrorInfo}`."""

    state_id: str
    error: Mapping[str, Any]
    failure_snapshot_id: str | None = None


class RunCompleted(NamedTuple):
    status: str
    final_snapshot_id: str | None


class Domain(NamedTuple):
    """Anything that is not the kernel's: `action_bound`, `artifact_written`, `outcome_recorded`, `reused`, ..."""

    name: str
    payload: Mapping[str, Any]
    payload_ref: str | None = None


Event = RunStarted | StateEntered | StateCompleted | StateFailed | RunCompleted | Domain

KERNEL: Mapping[str, type[Event]] = {
    kind.__name__: kind for kind in (RunStarted, StateEntered, StateCompleted, StateFailed, RunCompleted)
}

# What the journal says of the children of a fan-out, within the attempt of their state.
ITEM_EVENTS = frozenset({"item_bound", "item_recorded", "item_reused", "item_failed"})
# What folds are made of: no event profile filters these.
NEEDED = ITEM_EVENTS | {
    *("action_bound", "outcome_recorded", "artifact_written", "fact_recorded", "reused", "skipped"),
    *("child_run_spawned", "child_run_completed"),
}


class StateStatus(StrEnum):
    """Where a state of a run stands."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    REUSED = "reused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    SKIPPED = "skipped"


# status -> the statuses that may follow. A test asserts this is total; terminal rows are empty.
LIFECYCLE: Mapping[StateStatus, frozenset[StateStatus]] = {
    StateStatus.WAITING: frozenset({StateStatus.READY, StateStatus.NOT_STARTED}),
    StateStatus.READY: frozenset(
        {
            StateStatus.RUNNING,
            StateStatus.REUSED,
            StateStatus.FAILED,
            StateStatus.NOT_STARTED,
            StateStatus.SKIPPED,
        }
    ),
    StateStatus.RUNNING: frozenset({StateStatus.COMPLETED, StateStatus.FAILED, StateStatus.CANCELLED}),
    StateStatus.COMPLETED: frozenset(),
    StateStatus.REUSED: frozenset(),
    StateStatus.FAILED: frozenset(),
    StateStatus.CANCELLED: frozenset(),
    StateStatus.NOT_STARTED: frozenset(),
    StateStatus.SKIPPED: frozenset(),
}


def to_doc(event: Event) -> dict[str, Any]:
    """The event as the journal holds it."""
    if isinstance(event, Domain):
        return {"Domain": event._asdict()}
    return {"Kernel": {type(event).__name__: event._asdict()}}


def from_doc(doc: Mapping[str, Any]) -> Event:
    """The event that a journal's document says. Unknown variants are a KeyError: journals are checked when read."""
    if "Domain" in doc:
        return Domain(**doc["Domain"])
    ((name, fields),) = doc["Kernel"].items()
    return KERNEL[name](**fields)
