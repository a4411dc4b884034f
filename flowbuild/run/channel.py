"""Channels: by which door a run's actions are performed, and the lock of a whole run.

Knows nothing of how a door is made (`engine.confine`) or of what runs. A build of the command line takes no lock of a
whole run, since concurrent builds work; whoever asks for one says so in a ChannelSpec.

Shapes:  the lock is flock on `<out root>/.runtime.lock`, which holds `pid=<n>` as a hint. It is written only while
         held and never removed: it ends with its holder, and what a stale one says decides nothing.
Errors:  ValueError for a channel, lock mode or time that is none; CapabilitiesMismatch for one that this host has not;
         StoreConflict when somebody else holds the lock; DiskRefused.
Source:  seed 003, channels and locks.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from flowbuild.core.errors import CapabilitiesMismatch, StoreConflict
from flowbuild.store.files import ensure_directory
from flowbuild.store.lock import open_lock, try_hold
from flowbuild.store.refusal import refused

LOCK = ".runtime.lock"
POLL_SECONDS = 0.05  # seed 003


class ChannelName(StrEnum):
    """The doors. `launchd_clean` is `clean` with processes that launchd starts, on macOS only."""

    DIRECT = "direct"
    CLEAN = "clean"
    LAUNCHD_CLEAN = "launchd_clean"

    @property
    def is_clean(self) -> bool:
        """Whether an action behind it reaches nothing that it does not declare."""
        return self is not ChannelName.DIRECT


class LockMode(StrEnum):
    """What to do while somebody else holds the lock."""

    FAIL = "fail"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """How a run is to be performed, and whether it holds the whole output root meanwhile.

    `require_clean` refuses the channel that is not. `label_prefix` begins the names of the jobs that launchd starts,
    and `staging_base` is where each has a directory; they mean nothing to other channels.
    """

    channel: ChannelName = ChannelName.DIRECT
    require_clean: bool = False
    staging_base: Path | None = None
    lock: bool = True
    lock_mode: LockMode = LockMode.FAIL
    lock_timeout_seconds: float = 30.0
    label_prefix: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "channel", ChannelName(self.channel))  # the seed's callers pass words
        object.__setattr__(self, "lock_mode", LockMode(self.lock_mode))
        if not self.lock_timeout_seconds >= 0:  # nor "not a number", for which nobody's time is ever over
            raise ValueError(f"lock_timeout_seconds is a number from 0, not {self.lock_timeout_seconds}")

    def resolve(self) -> ChannelName:
        """The channel that this host performs it in."""
        found = resolve(self.channel)
        if self.require_clean and not found.is_clean:
            raise CapabilitiesMismatch(f"channel {found} is not clean", remedy=f"ask for channel {ChannelName.CLEAN}")
        return found

    @contextmanager
    def held(self, out_root: Path) -> Iterator[None]:
        """Hold the output root, if the spec says so, for as long as the block lasts."""
        if not self.lock:
            yield
            return
        ensure_directory(out_root)
        path = out_root / LOCK
        with refused(path):
            descriptor = open_lock(os.fspath(path))
        try:
            with refused(path):
                self._take(descriptor, path)
                with suppress(OSError):  # the hint: a full disk takes nothing from the lock
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, b"pid=%d\n" % os.getpid(), 0)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, path: Path) -> None:
        until = time.monotonic() + self.lock_timeout_seconds
        while not try_hold(descriptor):
            if self.lock_mode is LockMode.FAIL:
                raise StoreConflict(
                    f"runtime bundle is locked: {path}", remedy="wait for the other run, or ask with lock mode wait"
                )
            if time.monotonic() >= until:
                raise StoreConflict(
                    f"runtime lock timeout after {self.lock_timeout_seconds}s: {path}",
                    remedy="wait for the other run to end, or end it",
                )
            time.sleep(min(POLL_SECONDS, max(0.0, until - time.monotonic())))


def resolve(name: str, platform: str = sys.platform) -> ChannelName:
    """The channel behind a name on this host."""
    found = ChannelName(name)
    if found is ChannelName.LAUNCHD_CLEAN and platform != "darwin":
        raise CapabilitiesMismatch(
            "channel launchd_clean is macOS's", remedy="here the same is --channel clean (docs/channels.md)"
        )
    return found
