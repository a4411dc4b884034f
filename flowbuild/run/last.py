"""The last table: for each state of this checkout, its last action, outputs and run.

Knows nothing of why anyone asks. Derived from journals: it saves `why`, `explain` and the console a search through
them. Without it they say "never built", and nothing else changes.

Shapes:  JSON, `{"version": 1, "states": {state_id: [action key, {output: digest}, run id, ts_millis, performed]}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from flowbuild.store.files import atomic_write, ensure_directory

VERSION = 1


class Last(NamedTuple):
    """What a state came to last. `performed` is False when it was reused, `previous` is the key before this one."""

    action: str
    outputs: Mapping[str, str]
    run_id: str
    ts_millis: int
    performed: bool
    previous: str | None


class _Table(msgspec.Struct):
    version: int
    states: dict[str, Last]


class LastTable:
    """The table of one checkout."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, Last] = {}
        self._is_changed = False
        with suppress(
            OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError
        ):  # derived: an unreadable table is an empty one
            found = msgspec.json.decode(path.read_bytes(), type=_Table)
            self._rows = found.states if found.version == VERSION else {}

    def get(self, state_id: str) -> Last | None:
        return self._rows.get(state_id)

    def note(
        self, state_id: str, action: str, outputs: Mapping[str, str], run_id: str, ts: int, performed: bool
    ) -> None:
        """Remember what a state came to. A reuse of the same action changes nothing."""
        before = self.get(state_id)
        if before is not None and before.action == action and not performed:
            return
        previous = before.action if before else None  # the same action again: it was forced, or not remembered
        self._rows[state_id] = Last(action, dict(outputs), run_id, ts, performed, previous)
        self._is_changed = True

    def save(self) -> None:
        if self._is_changed:
            ensure_directory(self._path.parent)
            atomic_write(self._path, msgspec.json.encode({"version": VERSION, "states": self._rows}))
