"""Forcing bytes down to the disk: one file, one directory, or a whole file system.

Knows nothing of when that is needed. Each answer is a bool: whether what was asked for is now durable. A file system
that cannot flush (some network and FUSE ones say EINVAL or ENOTSUP) is not an error: the answer is False, and the
caller says so once.

Errors:  DiskRefused when the disk refuses (EIO, ENOSPC): then nothing may be believed to be durable.
Source:  fsync(2), syncfs(2); F_FULLFSYNC, because fsync on macOS stops at the drive's cache.
"""

from __future__ import annotations

import errno
import os
import sys

from flowbuild.store.refusal import refused

_CANNOT = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def flush_descriptor(descriptor: int) -> bool:
    """Flush an open file or directory. Raises OSError, for callers that know the path."""
    try:
        if sys.platform == "darwin":
            import fcntl

            try:
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
                return True
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    return True


def flush_file(path: os.PathLike[str] | str) -> bool:
    """Flush one file that is written already."""
    with refused(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return flush_descriptor(descriptor)
        finally:
            os.close(descriptor)


def flush_directory(path: os.PathLike[str] | str) -> bool:
    """Flush the names in one directory: without it a renamed file may come back under its old name."""
    with refused(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return flush_descriptor(descriptor)
        finally:
            os.close(descriptor)


def flush_filesystem(path: os.PathLike[str] | str) -> bool:
    """Flush everything on the file system of this path: one call stands for many.

    False where there is only sync(2), which may return before the disk is done (macOS).
    """
    with refused(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return syncfs(descriptor)
        finally:
            os.close(descriptor)


def syncfs(descriptor: int) -> bool:
    """syncfs(2) where the C library has it, else sync(2)."""
    import ctypes  # 2 ms: only for those who flush

    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "syncfs", None)
    if call is None:
        os.sync()
        return False
    if call(descriptor) == 0:
        return True
    number = ctypes.get_errno()
    if number not in _CANNOT:
        raise OSError(number, os.strerror(number))
    os.sync()
    return False
