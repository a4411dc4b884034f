"""What an event costs in the journal: flushed in groups, as a run does it, and one by one.

Knows nothing of states at work. The events are those of trivial states, in the batches in which a run keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from flowbuild.core.event import Domain, Event, StateCompleted, StateEntered, to_doc
from flowbuild.core.ids import new_run_id
from flowbuild.run.record import Record
from flowbuild.store.journal import Journal

DIGEST = "3263d7aa" * 8


def measure(directory: Path, events: int) -> Mapping[str, float]:
    """Seconds for one event, each way. `directory` must be new."""
    directory.mkdir()
    batches = [batch for n in range(max(1, events // 5)) for batch in _batches(n)]
    every = [event for batch in batches for event in batch]
    return {
        "flushed in groups": _in_groups(directory / "groups", batches) / len(every),
        "flushed one by one": _one_by_one(directory / "each", every) / len(every),
        "not flushed": _in_groups(directory / "none", batches, flushes=False) / len(every),
    }


def _in_groups(place: Path, batches: list[list[Event]], *, flushes: bool = True) -> float:
    place.mkdir()
    record = Record(new_run_id(), lambda: place, flushes=flushes)
    started = time.perf_counter()
    record.begin()
    for batch in batches:
        record.append(batch)
    record.seal()
    return time.perf_counter() - started


def _one_by_one(place: Path, events: list[Event]) -> float:
    place.mkdir()
    started = time.perf_counter()
    with Journal.create(place / "journal.jsonl", new_run_id()) as journal:
        for event in events:
            journal.append([to_doc(event)])
            journal.flush()
    return time.perf_counter() - started


def _batches(n: int) -> list[list[Event]]:
    """The events of one state that is performed: as it begins, and as it ends."""
    state, label = f"l{n:05}_c736169f.main.call", f"//:l{n:05}"
    artifact = {"executable": False, "path": "", "sha256": DIGEST, "size": 7}
    return [
        [
            StateEntered(state, 0, DIGEST),
            Domain("action_bound", {"action": DIGEST, "label": label, "state_id": state}),
        ],
        [
            Domain(
                "artifact_written", {"artifact": artifact, "artifact_id": DIGEST, "name": "target", "state_id": state}
            ),
            Domain("outcome_recorded", {"action": DIGEST, "outputs": {"target": DIGEST}, "state_id": state}),
            StateCompleted(state, DIGEST),
        ],
    ]
