"""The record of a run: its journal, held back until there is something worth a directory.

Knows nothing of states or bundles. A build that performs nothing and commits nothing leaves nothing behind, so events
wait in memory until `begin`; from then on each batch is appended before anybody else sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flowbuild.core.errors import StoreConflict
from flowbuild.core.event import Domain, Event, to_doc
from flowbuild.core.ids import RunId
from flowbuild.store.journal import Journal, now_millis

# What must be on the disk before anything that follows from it happens.
BARRIERS = frozenset({"fact_recorded", "effect_intended", "child_run_spawned"})
# Events are flushed to disk this often while a run goes on, and at its end. Where flushing is slow, so much less often
# that it takes a tenth of the time; but no second passes without.
FLUSH_SECONDS, FLUSH_LATEST, FLUSH_REST = 0.02, 1.0, 9


class Record:
    """One run's journal to be. `place` makes the directory that it stands in, once; `keeps` says of which domain
    events it is made."""

    def __init__(
        self,
        run_id: RunId,
        place: Callable[[], Path],
        *,
        flushes: bool,
        keeps: Callable[[str], bool] = lambda name: True,
        clock: Callable[[], int] = now_millis,
    ) -> None:
        self.run_id = run_id
        self._place = place
        self._flushes = flushes
        self._keeps = keeps
        self._clock = clock
        self._held: list[Event] = []
        self._journal: Journal | None = None
        self._due = time.monotonic() + FLUSH_SECONDS

    def reopen(self, journal: Path, head: int) -> None:
        """Go on with a journal that is there, its torn tail cut off. A StoreConflict if somebody else did since its
        story was read: it had `head` events then."""
        found = Journal.open(journal, self.run_id, clock=self._clock)
        try:
            found.append([], head)
        except StoreConflict:
            found.close()
            raise
        self._journal = found

    @property
    def begun(self) -> bool:
        return self._journal is not None

    def begin(self) -> None:
        """Make the run's directory and write what was held back."""
        if self._journal is None:
            self._journal = Journal.create(self._place() / "journal.jsonl", self.run_id, clock=self._clock)
            held, self._held = self._held, []
            self.append(held)

    def append(self, events: Sequence[Event]) -> None:
        """Keep a batch of events, in this order: those of the kernel, and of the others what the profile keeps."""
        if self._journal is None or not events:
            self._held.extend(events)
            return
        kept = [event for event in events if not isinstance(event, Domain) or self._keeps(event.name)]
        self._journal.append([to_doc(event) for event in kept])
        is_barrier = any(isinstance(event, Domain) and event.name in BARRIERS for event in events)
        if self._flushes and (is_barrier or time.monotonic() > self._due):
            started = time.monotonic()
            self._journal.flush()
            ended = time.monotonic()
            self._due = ended + min(max(FLUSH_SECONDS, FLUSH_REST * (ended - started)), FLUSH_LATEST)

    def seal(self) -> None:
        """After `RunCompleted`: nothing follows."""
        if self._journal is not None:
            if self._flushes:
                self._journal.flush()
            self._journal.close()

    def abandon(self) -> None:
        """Stop in the middle: the journal is as that of a killed run, and somebody may go on with it."""
        if self._journal is not None:
            self._journal.close()
