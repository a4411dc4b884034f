"""An account: what a journal tells of its run, folded into one value.

Knows nothing of bundles or of what an artifact says. A journal whose writer is at work, or was killed, gives the
account of what is there: `ended` is None, and a state that was entered and has no end is `running`.

Shapes:  Account; one Told a state, by its id.
Errors:  StoreCorrupt for a journal that does not parse, or tells of what this version does not know.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import (
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    StateCompleted,
    StateEntered,
    StateFailed,
    from_doc,
)
from flowbuild.store.journal import read
from flowbuild.store.lock import try_hold
from flowbuild.store.refusal import refused

PERFORMED, REUSED, FAILED, SKIPPED, RUNNING = "performed", "reused", "failed", "skipped", "running"
# A test asserts that no event of a child is left out.
_ITEMS = {"child_bound": RUNNING, "child_recorded": PERFORMED, "child_reused": REUSED, "child_failed": FAILED}
HOW = (PERFORMED, REUSED, FAILED, SKIPPED, RUNNING)


class ToldItem(NamedTuple):
    """One item of a fan-out, by its name."""

    item: str
    how: str
    error: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Told:
    """One state. `error` is its ErrorInfo when it failed."""

    state_id: str
    how: str = RUNNING
    label: str = ""
    action: str | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    items: dict[str, ToldItem] = field(default_factory=dict)  # by the keys of their children


@dataclass(slots=True)
class Account:
    """A run. `ended` is the journal's own word, `Completed`, `Failed` or `Cancelled`."""

    run_id: str = ""
    op: str = ""
    manifest_id: str = ""
    started_ms: int | None = None
    last_ms: int | None = None
    ended: str | None = None
    states: dict[str, Told] = field(default_factory=dict)

    def of(self, how: str) -> list[Told]:
        """The states that came to this, in the journal's order."""
        return [told for told in self.states.values() if told.how == how]


def account(journal: Path) -> Account:
    """The account of a journal; an empty one where there is none."""
    found = Account()
    for envelope in read(journal):
        found.run_id, found.last_ms = envelope["run_id"], envelope["ts_millis"]
        if found.started_ms is None:
            found.started_ms = found.last_ms
        _take(found, _event(envelope, journal))
    return found


def opening(journal: Path) -> Account:
    """The account of a journal's first event: who, what and when, without reading the rest."""
    found = Account()
    for envelope in read(journal, 1, 1):
        found.run_id, found.started_ms = envelope["run_id"], envelope["ts_millis"]
        _take(found, _event(envelope, journal))
    return found


def is_live(journal: Path) -> bool:
    """Whether somebody is writing a journal: its writer holds the file's lock."""
    with refused(journal):
        try:
            descriptor = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not try_hold(descriptor, exclusive=False)
        finally:
            os.close(descriptor)


def _event(envelope: Mapping[str, Any], journal: Path) -> Event:
    try:
        return from_doc(envelope["event"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StoreCorrupt(f"{journal}:{envelope['seq']}: not an event of this version") from None


def _take(found: Account, event: Event) -> None:
    if isinstance(event, RunStarted):
        found.op, found.manifest_id = event.op_id, event.manifest_id
    elif isinstance(event, StateEntered):
        before = found.states.get(event.state_id)
        found.states[event.state_id] = Told(event.state_id, items=before.items if before else {})
    elif isinstance(event, StateCompleted) and (told := found.states.get(event.state_id)):
        told.how = REUSED if told.how == REUSED else PERFORMED
    elif isinstance(event, StateFailed):
        told = found.states.setdefault(event.state_id, Told(event.state_id))
        told.how, told.error = FAILED, event.error.get("info")
    elif isinstance(event, RunCompleted):
        found.ended = event.status
    elif isinstance(event, Domain):
        _take_domain(found, event)


def _take_domain(found: Account, event: Domain) -> None:
    state_id = event.payload.get("state_id", "")
    if event.name == "skipped":  # it was never entered
        found.states[state_id] = Told(state_id, SKIPPED, event.payload["label"])
    told = found.states.get(state_id)
    if told is None:
        return
    if event.name in _ITEMS:
        found_item = ToldItem(event.payload["item"], _ITEMS[event.name], event.payload.get("info"))
        told.items[event.payload["action"]] = found_item
    if event.name in ("action_bound", "reused"):
        told.label, told.action = event.payload["label"], event.payload["action"]
    if event.name == "reused":
        told.how = REUSED
    if event.name in ("outcome_recorded", "reused"):
        told.outputs = event.payload["outputs"]
