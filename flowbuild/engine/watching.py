"""Whether the kernel tells this user of changes to files, and how many it would.

Knows nothing of what is watched or why.

Source:  inotify(7), /proc/sys/fs/inotify.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from flowbuild.engine.syscalls import libc

_LIMITS = ("max_user_watches", "max_user_instances", "max_queued_events")
_IN_CREATE = 0x100


def watches(directory: Path) -> tuple[str | None, dict[str, int]]:
    """Watch a directory for a moment: the errno's name if that is refused, and the limits that the kernel tells."""
    return _refusal(directory), {name: value for name in _LIMITS if (value := _limit(name)) is not None}


def _refusal(directory: Path) -> str | None:
    descriptor = libc().inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return errno.errorcode.get(ctypes.get_errno())
    try:
        added = libc().inotify_add_watch(descriptor, os.fsencode(directory), _IN_CREATE)
        return errno.errorcode.get(ctypes.get_errno()) if added < 0 else None
    finally:
        os.close(descriptor)


def _limit(name: str) -> int | None:
    try:
        return int(Path("/proc/sys/fs/inotify", name).read_text())
    except (OSError, ValueError):
        return None
