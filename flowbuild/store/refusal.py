"""What the operating system refuses, as an error that a person can act on.

Knows nothing of what was being written or why.

Errors:  DiskRefused, with the path, the system's words, the errno's name and, for the usual ones, what to do.
"""

from __future__ import annotations

import errno
import os
from types import TracebackType

from flowbuild.core.errors import DiskRefused

_REMEDIES = {
    errno.ENOSPC: "free some space or inodes there, then run the same command again: what was written is intact",
    errno.EDQUOT: "your disk quota is used up: free some space, then run the same command again",
    errno.EROFS: "the file system is mounted read-only: mount it writable, or keep the store elsewhere",
    errno.EACCES: "check its owner and permissions",
    errno.EPERM: "check its owner, permissions and attributes",
    errno.EMFILE: "the limit of open files is reached: raise it (`ulimit -n 4096`), or lower -j",
    errno.ENFILE: "too many files are open on this host: end what holds them, or lower -j",
    errno.EAGAIN: "the limit of processes is reached: raise it (`ulimit -u`), or lower -j",
    errno.ENOMEM: "the host has no memory left: lower -j",
    errno.EFBIG: "a limit on file size is set (`ulimit -f`): raise it",
    errno.EIO: "the disk reports a fault: look at its health before you build again",
    errno.ESTALE: "the network file system lost this file: run the same command again",
    errno.ENOTDIR: "a file stands where a directory is needed: move it away",
    errno.EISDIR: "a directory stands where a file is needed: move it away",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOLCK: "this file system does not lock (see `flowbuild doctor`): keep the store on a local one",
}

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
"""What says that the host, or a limit of this process, has nothing left to give, whoever asks."""


class refused:
    """Turn an OSError into DiskRefused about this path: the one that a person knows, not our temporary name.

    A class and not a generator: every step of the store goes through it, dozens of times a state.
    """

    __slots__ = ("_path",)

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError):
            return
        path, number = os.fspath(self._path), error.errno or 0
        name = errno.errorcode.get(number, f"errno {number}")
        raise DiskRefused(
            f"{path}: {error.strerror or error} ({name})",
            remedy=_REMEDIES.get(number, ""),
            details={"path": path, "errno": name},
        ) from error
