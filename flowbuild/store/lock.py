"""Locks that die with their holder: flock on a descriptor, never the existence of a file.

Knows nothing of what is guarded. A lock file is never removed, and never truncated before it is held; the process id
in it is a hint for the message, and decides nothing, so that a stale or reused one does no harm.

Errors:  StoreConflict when somebody else holds it; DiskRefused when the file system does not lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from types import TracebackType

from flowbuild.core.errors import StoreConflict
from flowbuild.store.refusal import refused

_BUSY = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


def try_hold(descriptor: int, *, exclusive: bool = True) -> bool:
    """Take the lock of an open file if it is free. Raises OSError where locks do not work."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


def hold(descriptor: int, *, exclusive: bool = True) -> None:
    """Take the lock of an open file, waiting for it as long as it takes. Raises OSError where locks do not work."""
    fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)


def is_named(descriptor: int, path: str) -> bool:
    """Whether this open file is still the one at this path: after a wait, somebody may have replaced it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def open_lock(path: str) -> int:
    """Open a lock file, made if need be and truncated by nobody. flock needs no right to write: read-only will do.

    A link is not followed: its holder writes into the file, and a link may lead to one that is somebody's.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise error from None


class Lock:
    """`with Lock(path):` one holder at a time, among processes and among threads."""

    def __init__(self, path: os.PathLike[str] | str, *, wait: bool = True, timeout: float | None = None) -> None:
        self._path = os.fspath(path)
        self._seconds = timeout if wait else 0.0
        self._descriptor = -1

    def __enter__(self) -> Lock:
        with refused(self._path):
            descriptor = open_lock(self._path)
            try:
                self._wait(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            with suppress(OSError):  # the hint: a read-only lock file or a full disk takes nothing from the lock
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        with refused(self._path):
            os.close(descriptor)

    def _wait(self, descriptor: int) -> None:
        if self._seconds is None:
            hold(descriptor)
            return
        until, pause = time.monotonic() + self._seconds, 0.002
        while not try_hold(descriptor):
            if time.monotonic() >= until:
                raise StoreConflict(
                    f"{self._path} is locked by another process{self._holder(descriptor)}",
                    remedy="wait for it to end, or end it",
                )
            time.sleep(min(pause, max(0.0, until - time.monotonic())))
            pause = min(pause * 2, 0.05)

    def _holder(self, descriptor: int) -> str:
        hint = os.pread(descriptor, 32, 0).strip()
        return f" (process {hint.decode()})" if hint.isdigit() else ""
