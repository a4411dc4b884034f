"""Starting one process, and what we hold of it while it lives.

Knows nothing of other children. posix_spawn, in a session and process group of the child's own, with default signals
and no descriptor but the named ones.

Errors:  OSError when the system refuses the program or its directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What Python ignores, and what a terminal or `nohup` may have us ignore: children begin with the defaults.
DEFAULTED = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGPIPE", "SIGTERM", "SIGCHLD", "SIGTTIN", "SIGTTOU", "SIGXFSZ")
)


@dataclass(frozen=True, slots=True)
class Start:
    """One program to start. `program` is its file; `descriptors` maps a number in the child to one of ours."""

    program: str
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    stdin: Path = Path(os.devnull)
    descriptors: Mapping[int, int] = field(default_factory=dict)


class Child:
    """A started child: its two streams, and whether it still runs. Its group's number is its own."""

    __slots__ = ("idle", "pid", "pidfd", "refused", "started", "status", "stdout", "streams", "term_at")

    def __init__(self, pid: int, streams: tuple[int, ...]) -> None:
        self.pid = pid
        self.stdout = streams[0]
        self.streams = list(streams)  # those that are still open
        self.idle = False
        self.started = time.monotonic()
        self.status: int | None = None  # as waitpid gives it
        self.refused: str | None = None  # why what it stands for was not begun
        self.term_at: float | None = None
        self.pidfd = _pidfd(pid)

    def begin(self) -> None:
        """Count the time from now: a kept child has another task."""
        self.idle = False
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been at it."""
        return time.monotonic() - self.started

    def has_exited(self) -> bool:
        """Whether it has. With a pidfd it stays a zombie until the end, so that its number can't become another's."""
        if self.status is not None:
            return True
        if self.pidfd is not None:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        self.status = status if pid else None
        return bool(pid)

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        # macOS answers EPERM for a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end; its grace runs from the first time."""
        if self.term_at is None:
            self.term_at = time.monotonic()
            self.signal(signal.SIGTERM)

    def drop_streams(self) -> None:
        """Stop reading what it says."""
        for descriptor in self.streams:
            os.close(descriptor)
        self.streams.clear()

    def reap(self) -> int:
        """End the group and take the exit status. The child has exited, or does now."""
        self.signal(signal.SIGKILL)
        if self.status is None:
            status = await_death(self.pid)
            self.status = signal.SIGKILL if status is None else status
        self.drop_streams()
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        return self.status


def spawn(start: Start, descriptors: Mapping[int, int]) -> int:
    """posix_spawn in a directory. It takes none, so ours changes for that moment (3 us; `sh -c cd` costs 500)."""
    raised: dict[int, int] = {}
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
    if 0 not in descriptors:
        actions.append((os.POSIX_SPAWN_OPEN, 0, os.fspath(start.stdin), os.O_RDONLY, 0))
    try:
        for number, fd in descriptors.items():
            raised[number] = _raise(fd)
        actions += [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in raised.items()]
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chdir(start.cwd)
            return os.posix_spawn(
                start.program,
                start.argv,
                start.environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=DEFAULTED,
            )
        finally:
            os.fchdir(here)
            os.close(here)
    finally:
        for fd in raised.values():
            os.close(fd)


def _raise(descriptor: int) -> int:
    """A copy above 15: there no source is a target as well, whatever of 0 to 2 we were started without."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 16)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None  # 16 is beyond our limit of open files


def await_death(pid: int) -> int | None:
    """Reap a killed process; its status. None when it was reaped already, or hangs inside the kernel for longer."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        with contextlib.suppress(ChildProcessError):
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                time.sleep(0.001)
                continue
            return status
        break
    return None


def _pidfd(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # an older kernel, or a sandbox that refuses it
        return None
