"""Who uses a store: everybody who counts on its objects holds it, and only who is alone there may remove any.

Knows nothing of objects. The lock is on the directory itself, so it ends with its holder and leaves no file behind.
A build takes it with its first question and gives it up at its end; it waits for nobody but a removal under way.

Errors:  StoreConflict when others don't leave in time; DiskRefused, also when the file system does not lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flowbuild.core.errors import StoreConflict
from flowbuild.store.lock import hold, try_hold
from flowbuild.store.refusal import refused

_PAUSE_S = 0.02


class Use:
    """The use of one directory by one process."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._descriptor = -1

    def enter(self) -> None:
        """Use it from now on, beside others. A directory that is not there has nothing to count on yet."""
        if self._descriptor < 0:
            self._take(lambda descriptor: hold(descriptor, exclusive=False))

    def leave(self) -> None:
        """Count on nothing there any more."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.leave()

    @contextmanager
    def alone(self, timeout_s: float) -> Iterator[None]:
        """Nobody else uses it meanwhile."""
        until = time.monotonic() + timeout_s
        self.leave()
        self._take(lambda descriptor: self._wait(descriptor, until))
        try:
            yield
        finally:
            self.leave()

    def _take(self, lock: Callable[[int], None]) -> None:
        with refused(self._directory):
            try:
                descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                return
            try:
                lock(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor = descriptor

    def _wait(self, descriptor: int, until: float) -> None:
        while not try_hold(descriptor):
            if time.monotonic() >= until:
                raise StoreConflict(f"{self._directory} is in use by a build", remedy="wait for it to end")
            time.sleep(_PAUSE_S)
