"""Signals that ask us to stop, as something that can be waited for.

Knows nothing of what is stopped. While it is entered, SIGINT, SIGTERM and SIGHUP are noted and a descriptor becomes
readable; the first one counts. Where nobody waits for it (`is_heeded`), it is raised instead, as Stopped. Outside the
main thread it does nothing: signals are not ours there.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal that came while nobody waited for one. `number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stop:
    """The signals of a child run: those of its session, and one that its parent gives to it alone."""

    def __init__(self, session: Signals) -> None:
        self._session = session
        self._given: int | None = None

    def give(self) -> None:
        """End this run, and no other."""
        self._given = signal.SIGTERM

    @property
    def received(self) -> int | None:
        return self._session.received or self._given

    @property
    def is_for_all(self) -> bool:
        return self._session.received is not None

    @property
    def descriptor(self) -> int | None:
        return self._session.descriptor


class Signals:
    """A context in which signals are noted instead of raised."""

    is_for_all = True  # whether what is received ends every run

    def __init__(self) -> None:
        self.received: int | None = None
        self.is_heeded = False  # somebody looks at `received` and ends in good order
        self.descriptor: int | None = None
        self._writer = -1
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writer, False)
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.descriptor is None:
            return
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.descriptor)
        os.close(self._writer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            if not self.is_heeded:
                raise Stopped(number)
