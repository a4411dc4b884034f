"""Whether objects in the store may have been lost with the power: a mark that stands while something is unflushed.

Knows nothing of objects; it knows times. Approach:

1. `unflushed/<boot id>` is an empty file, flushed before a session's first object is written. Every session that
   writes holds its lock, shared. Whoever finds such a file of *another* boot knows that the host went down with
   objects that may not be on the disk, and that none of those is older than the file.
2. A process that was killed leaves its mark, rightly: the kernel has its bytes, the disk may not. The next session
   of the same boot joins the mark.
3. Flushing takes the lock alone if it can, flushes the file system, and removes the mark. If others are writing, it
   flushes all the same and leaves the mark to the last of them. Taking the lock *before* flushing is what keeps an
   object that somebody writes meanwhile under a mark.

The boot id decides, not the clock: a clean shutdown after `flush` leaves no mark. Where a host has no boot id, each
process counts as a boot of its own, which only costs hashing. A session of another host on a shared file system looks
like another boot too; its mark is locked, so it stays, and each process hashes what is in doubt.

Errors:  DiskRefused; also when the file system does not lock.
Source:  /proc/sys/kernel/random/boot_id; sysctl kern.bootsessionuuid on macOS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from flowbuild.store.flush import flush_descriptor, flush_directory
from flowbuild.store.lock import hold, is_named, try_hold
from flowbuild.store.refusal import refused

# The clock may have been set back between the mark and an object. An hour of hashing is cheap beside a wrong byte.
_SLACK_NS = 3600 * 10**9


def boot_id() -> str:
    """An identifier of this boot of this host."""
    found = _boot_uuid()
    return found if found else f"unknown-{os.getpid()}-{os.urandom(4).hex()}"


def _boot_uuid() -> str:
    if sys.platform == "darwin":
        import ctypes

        library, size = ctypes.CDLL(None), ctypes.c_size_t(64)
        value = ctypes.create_string_buffer(64)
        failed = library.sysctlbyname(b"kern.bootsessionuuid", value, ctypes.byref(size), None, ctypes.c_size_t(0))
        return "" if failed else value.value.decode("ascii", "replace").strip().lower()
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


class Mark(NamedTuple):
    """A mark of another boot: what was written from `since_ns` on is in doubt."""

    path: str
    since_ns: int


class Unflushed:
    """The marks of one store. `enter` before the first object, `leave` with a flush; until then, all is in doubt."""

    def __init__(self, directory: str, boot: Callable[[], str] = boot_id) -> None:
        self._directory = directory
        self._boot = boot()
        self._descriptor = -1

    def enter(self) -> None:
        """Set or join the mark of this boot. Costs nothing once entered."""
        if self._descriptor >= 0:
            return
        with refused(self._directory):
            if not os.path.isdir(self._directory):
                os.makedirs(self._directory, exist_ok=True)
                flush_directory(os.path.dirname(self._directory))
            self._descriptor = self._join(f"{self._directory}/{self._boot}")

    def _join(self, path: str) -> int:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                hold(descriptor, exclusive=False)
                if is_named(descriptor, path):
                    # Whoever made it may not have got this far; flushed twice costs microseconds.
                    flush_descriptor(descriptor)
                    flush_directory(self._directory)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def leave(self, flush: Callable[[], bool]) -> bool:
        """Flush, and remove the mark if nobody else needs it. Says whether everything written is durable."""
        if self._descriptor < 0:
            return True
        descriptor, self._descriptor = self._descriptor, -1
        with refused(self._directory):
            try:
                is_alone = try_hold(descriptor)
                is_durable = flush()
                if is_alone and is_durable:
                    os.unlink(f"{self._directory}/{self._boot}")
            finally:
                os.close(descriptor)
        return is_durable

    def close(self) -> None:
        """Stop writing without a flush. The mark stays, as that of a process that was killed."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def doubts(self) -> list[Mark]:
        """The marks of other boots. Nearly always none."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        found = []
        with refused(self._directory):
            for name in names:
                if name != self._boot:
                    path = f"{self._directory}/{name}"
                    try:
                        found.append(Mark(path, os.stat(path).st_ctime_ns - _SLACK_NS))
                    except FileNotFoundError:
                        continue
        return found

    def settle(self, marks: list[Mark]) -> None:
        """Everything under these marks has been looked at: remove them, save those that a living session holds."""
        for path, _ in marks:
            with refused(path):
                try:
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                try:
                    if try_hold(descriptor) and is_named(descriptor, path):
                        os.unlink(path)
                finally:
                    os.close(descriptor)
