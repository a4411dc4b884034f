"""Bytes from one open file to another, and their digest: one pass, flat memory.

Knows nothing of names. Never links: two names for one inode would let a write to one change the other. A clone
(reflink) shares blocks until one side is written, which is safe and costs nothing.

Source:  ioctl_ficlone(2), copy_file_range(2).
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable

from flowbuild.core.canonical import Digest
from flowbuild.store.draft import write_all

CHUNK = 1 << 20
_FICLONE = 0x40049409
_UNABLE = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EBADF}
)


def clone(source: int, target: int) -> bool:
    """Make an empty open file a clone of another one, where the file system does that."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        return False
    return True


def copy(source: int, target: int) -> None:
    """Copy a whole open file into an empty one, the cheapest way that works."""
    if clone(source, target) or _copy_in_kernel(source, target):
        return
    os.lseek(source, 0, os.SEEK_SET)
    os.lseek(target, 0, os.SEEK_SET)
    pour(source, lambda data: write_all(target, data))


def _copy_in_kernel(source: int, target: int) -> bool:
    """copy_file_range to the end. False when it cannot, or claims that a file with bytes has none (as /proc does)."""
    if sys.platform != "linux":
        return False
    copied = 0
    try:
        while moved := os.copy_file_range(source, target, 1 << 30, copied, copied):
            copied += moved
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        os.ftruncate(target, 0)
        return False
    return copied > 0


def pour(source: int, write: Callable[[bytes], None] | None = None) -> tuple[Digest, int]:
    """Read from here to the end, write it if asked to, and give digest and size: one read for all."""
    state, size = hashlib.sha256(), 0
    while data := os.read(source, CHUNK):
        state.update(data)
        size += len(data)
        if write is not None:
            write(data)
    return Digest(state.hexdigest()), size
