"""The story of a run: what its journal says of every state, as one value. A fold, and nothing else.

Knows nothing of files but the journal's events. Used to replay a run, to compare two, and to go on with one that was
killed.

Shapes:  Story; `states` in the order in which they were first entered.
Errors:  StoreCorrupt where events contradict each other: seed 001's attempt envelopes, kept per state.
Source:  seed 001, event store and attempt envelopes; decision 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import (
    CHILD_EVENTS,
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    StateCompleted,
    StateEntered,
    StateFailed,
    from_doc,
)
from flowbuild.run.door import bound_facts
from flowbuild.store.tree import Artifact


class ToldChild(NamedTuple):
    """A child of a fan-out that came to something. `error` is that of one that failed, and then it left nothing."""

    item: str
    outputs: Mapping[str, Artifact]
    error: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Told:
    """One state: its last attempt, and what it came to. `open` while an attempt has no end."""

    state_id: str
    label: str = ""
    action: Digest | None = None
    attempt: int = -1
    base: str = ""
    open: bool = False
    completed: bool = False
    reused_from: str | None = None
    outputs: dict[str, Digest] = field(default_factory=dict)
    written: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    snapshot: str | None = None
    children: dict[str, ToldChild] = field(default_factory=dict)  # by key; those of earlier attempts too


@dataclass(slots=True)
class Story:
    """One run. `status` is None while it has no end; `head` is the number of its last event."""

    run_id: str = ""
    op_id: str = ""
    manifest_id: str = ""
    head: int = 0
    status: str | None = None
    states: dict[str, Told] = field(default_factory=dict)
    facts: dict[str, Digest] = field(default_factory=dict)


def story(envelopes: Iterable[Mapping[str, Any]]) -> Story:
    """The story that a journal's envelopes tell."""
    told = Story()
    events: list[Event] = []
    for envelope in envelopes:
        told.run_id, told.head = envelope["run_id"], envelope["seq"]
        try:
            event = from_doc(envelope["event"])
        except (KeyError, TypeError, ValueError):
            raise _broken(told, "an event of an unknown shape") from None
        if told.status is not None:
            raise _broken(told, "an event after RunCompleted")
        events.append(event)
        _TABLE.get(type(event), _ignored)(told, event)
    told.facts = bound_facts(events)
    return told


def _started(told: Story, event: RunStarted) -> None:
    if told.head != 1:
        raise _broken(told, "RunStarted is not the first event")
    told.op_id, told.manifest_id = event.op_id, event.manifest_id


def _entered(told: Story, event: StateEntered) -> None:
    state = told.states.setdefault(event.state_id, Told(event.state_id))
    if state.open:
        raise _broken(told, f"{event.state_id} is entered twice (nested_state_entered)")
    if event.attempt <= state.attempt:
        raise _broken(told, f"{event.state_id}: attempt {event.attempt} after {state.attempt}")
    again = Told(event.state_id, state.label, None, event.attempt, event.base_snapshot_id, open=True)
    again.children = state.children
    told.states[event.state_id] = again


def _completed(told: Story, event: StateCompleted) -> None:
    state = _open(told, event.state_id)
    state.open, state.completed, state.snapshot = False, True, event.context_snapshot_id


def _failed(told: Story, event: StateFailed) -> None:
    state = _open(told, event.state_id)
    state.open, state.error = False, event.error["info"]


def _ended(told: Story, event: RunCompleted) -> None:
    still = [state.state_id for state in told.states.values() if state.open]
    if still:
        raise _broken(told, f"RunCompleted while {still[0]} is open (unexpected_kernel_inside_attempt)")
    told.status = event.status


def _said(told: Story, event: Domain) -> None:
    state = told.states.get(str(event.payload.get("state_id"))) if isinstance(event.payload, Mapping) else None
    if state is None:
        return
    if event.name in ("action_bound", "reused"):
        state.label, state.action = event.payload["label"], Digest(event.payload["action"])
    if event.name == "reused":
        state.reused_from = event.payload["performed_in"]
    if event.name in ("outcome_recorded", "reused"):
        state.outputs = {name: Digest(sha) for name, sha in event.payload["outputs"].items()}
    if event.name in CHILD_EVENTS and event.name != "child_bound":
        made = {name: Artifact.from_doc(doc) for name, doc in event.payload.get("artifacts", {}).items()}
        state.children[event.payload["action"]] = ToldChild(event.payload["item"], made, event.payload.get("info"))
    if event.name == "artifact_written" and "artifact" in event.payload:
        state.written[event.payload["name"]] = event.payload["artifact"]


def _open(told: Story, state_id: str) -> Told:
    state = told.states.get(state_id)
    if state is None or not state.open:
        raise _broken(told, f"{state_id} ends without having been entered (terminal_without_entered)")
    return state


def _ignored(told: Story, event: Any) -> None: ...


def _broken(told: Story, what: str) -> StoreCorrupt:
    message = f"event {told.head} of run {told.run_id}: {what}"
    return StoreCorrupt(f"invalid_attempt_envelopes: {message}", remedy="start a new run")


_TABLE: Mapping[type, Any] = {
    RunStarted: _started,
    StateEntered: _entered,
    StateCompleted: _completed,
    StateFailed: _failed,
    RunCompleted: _ended,
    Domain: _said,
}
