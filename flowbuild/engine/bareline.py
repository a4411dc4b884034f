"""A process and the two ends of its line, without any protocol: bytes written, bytes read, each with a time.

Knows nothing of REP, so that it can also say what no client would. Blocks: for checks, not for builds.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from flowbuild.engine.capture import Capture
from flowbuild.engine.executor import started
from flowbuild.engine.process import conclude, exited
from flowbuild.engine.reaper import Reaper

CHUNK = 1 << 16


class BareLine:
    """One process; close it."""

    def __init__(self, reaper: Reaper, argv: Sequence[str], cwd: Path, variables: Mapping[str, str]) -> None:
        self._child, self._stdin = started(reaper, argv, cwd, variables)
        self._is_open = True
        self._how: str | None = None
        self._reaper = reaper

    def write(self, data: bytes, seconds: float) -> None:
        """Write all of it, or as much as is taken in the time. A line that nobody reads is not our fault."""
        left, until = memoryview(data), time.monotonic() + seconds
        while left and time.monotonic() < until:
            try:
                left = left[os.write(self._stdin, left[:CHUNK]) :]
            except BlockingIOError:
                poller = select.poll()
                poller.register(self._stdin, select.POLLOUT)
                poller.poll(50)
                self._drain()
            except BrokenPipeError:
                return

    def read(self, seconds: float) -> bytes | None:
        """The next bytes of its output; empty at its end, None when there are none in time."""
        until = time.monotonic() + seconds
        while True:
            self._drain()
            with suppress(BlockingIOError):
                return os.read(self._child.stdout, CHUNK)
            left = until - time.monotonic()
            if left <= 0:
                return None
            poller = select.poll()
            for descriptor in self._child.streams:
                poller.register(descriptor, select.POLLIN)
            poller.poll(min(left, 0.5) * 1000)

    def ends(self, seconds: float) -> bool:
        """Close its input; whether it ends in time."""
        self._close_stdin()
        until = time.monotonic() + seconds
        while not self._child.has_exited() and time.monotonic() < until:
            self._drain()
            time.sleep(0.005)
        return self._child.has_exited()

    def how(self) -> str:
        """How it ended, after a moment for it."""
        until = time.monotonic() + 0.5
        while not self._child.has_exited() and time.monotonic() < until:
            time.sleep(0.005)
        return self._end() if self._child.has_exited() else "it still runs"

    def close(self) -> None:
        """End it and its group."""
        self._close_stdin()
        self._end()

    def _end(self) -> str:
        if self._how is None:
            captures = Capture(Path(os.devnull), limit=2), Capture(Path(os.devnull), limit=2)
            seconds = self._child.seconds
            if not self._child.has_exited():
                self._child.signal(signal.SIGKILL)
            self._how = str(exited(conclude(self._reaper, self._child, captures), seconds))
        return self._how

    def _drain(self) -> None:
        """What it prints on stderr is for nobody here."""
        for descriptor in self._child.streams[1:]:
            with suppress(BlockingIOError):
                while os.read(descriptor, CHUNK):
                    pass
                os.close(descriptor)
                self._child.streams.remove(descriptor)

    def _close_stdin(self) -> None:
        if self._is_open:
            os.close(self._stdin)
            self._is_open = False
