"""A file in the making: written under a name of its own beside its target, then given its name at once, or gone.

Knows nothing of what is written. Names are unique (O_EXCL): a shared temporary name makes concurrent writers fail.
A killed process leaves its draft behind; `sweep` removes those that nobody can still be writing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from types import TracebackType

from flowbuild.store.refusal import refused

PREFIX = ".tmp-"


def unique_name() -> str:
    """A temporary name that nobody else has: who made it, for a person who finds it, and 64 random bits."""
    return f"{PREFIX}{os.getpid()}-{os.urandom(8).hex()}"


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte: write(2) may take fewer than it is given."""
    written = os.write(descriptor, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


class Draft:
    """`with Draft(directory, about) as draft:` write to it, then `draft.install(target, mode=…)`.

    Left without `install`, by an error or not, the file is removed. What the system refuses here is refused about
    `about`, the name that a person knows; reading from elsewhere meanwhile is the caller's to name.
    """

    __slots__ = ("_about", "_is_installed", "_is_open", "descriptor", "path")

    def __init__(self, directory: str, about: os.PathLike[str] | str) -> None:
        self.path = f"{directory or '.'}/{unique_name()}"
        self._about = about
        with refused(about):
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._is_open = True
        self._is_installed = False

    def __enter__(self) -> Draft:
        return self

    def write(self, data: bytes) -> None:
        """Add these bytes at the end."""
        with refused(self._about):
            write_all(self.descriptor, data)

    def install(self, target: str, *, mode: int, mtime_ns: int | None = None) -> None:
        """Give the file its mode and time, whatever the umask, and last of all its name, replacing what has it."""
        with refused(self._about):
            os.fchmod(self.descriptor, mode)
            if mtime_ns is not None:
                os.utime(self.descriptor, ns=(mtime_ns, mtime_ns))
            self._close()
            os.rename(self.path, target)
        self._is_installed = True

    def _close(self) -> None:
        # Before the file gets its name: some file systems report a failed write only here.
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with refused(self._about):
                self._close()
        finally:
            if not self._is_installed:
                with suppress(OSError):
                    os.unlink(self.path)


def sweep(directory: os.PathLike[str] | str, *, older_than_s: float = 3600.0) -> int:
    """Remove drafts that were last touched long ago, and say how many. An hour: no writer pauses that long.

    The time of change decides, which nobody can set: an object that is about to get its name is dated 2001 already.
    """
    removed = 0
    before = time.time() - older_than_s
    with suppress(FileNotFoundError), os.scandir(directory) as names:
        for name in names:
            if not name.name.startswith(PREFIX):
                continue
            with suppress(FileNotFoundError):
                if name.is_file(follow_symlinks=False) and name.stat(follow_symlinks=False).st_ctime < before:
                    os.unlink(name.path)
                    removed += 1
    return removed
