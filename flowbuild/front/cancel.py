"""`flowbuild runs cancel`: ask the process that is at work on a run to end it, as Ctrl-C would, from anywhere."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress

from flowbuild.bundle.history import Entry
from flowbuild.bundle.layout import RUN_STATUS
from flowbuild.core.errors import BadFlag
from flowbuild.front.arguments import Request
from flowbuild.front.console import console
from flowbuild.front.history import Runs
from flowbuild.run.run import PID
from flowbuild.store.journal import is_live

PATIENCE_S = 10.0  # children have five to end; then the journal is sealed


def cancel(request: Request, text: str) -> int:
    """End a run that is at work; exit 1 if it does not end."""
    out, entry = console(request), Runs(request).find(text)
    if entry.parent and is_live(entry.journal):
        raise BadFlag(f"{entry.run_id} is a child of {entry.parent}", remedy="cancel that one, and it ends too")
    if not is_live(entry.journal):
        raise BadFlag(f"{entry.run_id} is not at work: {entry.status}", remedy="only what runs can be cancelled")
    number = _writer(entry)
    if number is None:
        raise BadFlag(
            f"{entry.run_id} does not say which process is at work on it", remedy="interrupt it where it runs"
        )
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGTERM)
    until = time.monotonic() + PATIENCE_S
    while is_live(entry.journal) and time.monotonic() < until:
        time.sleep(0.05)
    is_ended = not is_live(entry.journal)
    out.emit({"run_id": entry.run_id, "cancelled": is_ended})
    out.line(f"{entry.run_id[:8]} {'is cancelled' if is_ended else f'was asked to end, and process {number} goes on'}")
    return 0 if is_ended else 1


def _writer(entry: Entry) -> int | None:
    """The process that holds a run's journal. It is alive, since its lock is, so the number is no other's."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if entry.is_bundle:
            number = int(json.loads((entry.path / RUN_STATUS).read_bytes())["writer_pid"])
        else:
            number = int((entry.path / PID).read_text())
        return number if number > 0 else None  # others mean groups of processes, or all that there are
    return None
