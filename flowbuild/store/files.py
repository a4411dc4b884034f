"""Files written whole or not at all; the door to the floor's tools for files, locks and flushing.

Knows nothing of what the files mean. Whoever reads a file while it is replaced sees the old bytes or the new ones.
Creating parents is the caller's job: a missing parent is nearly always a fault worth seeing.

Errors:  DiskRefused for whatever the system refuses; StoreConflict for a lock not held in time.
Source:  temporary file, flush, rename, flush of the directory (RELIABILITY: 20 of 20 artifacts lost without).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowbuild.store.draft import Draft, unique_name
from flowbuild.store.flush import flush_descriptor, flush_directory, flush_file, flush_filesystem
from flowbuild.store.lock import Lock
from flowbuild.store.refusal import refused
from flowbuild.store.stream import copy

__all__ = [
    "atomic_write",
    "copy_file",
    "ensure_directory",
    "remove_tree",
    "refused",
    "flush_file",
    "flush_directory",
    "flush_filesystem",
    "Lock",
]

_SHALLOW = 16  # levels that are removed with a descriptor each; deeper trees are thinned out first


def ensure_directory(path: Path) -> Path:
    """The directory, which is there, and its parents."""
    with refused(path):
        os.makedirs(path, exist_ok=True)
    return path


def atomic_write(path: Path, data: bytes, *, flush: bool = False, mode: int = 0o644) -> None:
    """Give a file these bytes, all at once. With `flush`, they are on the disk before the name is.

    The name itself is durable after `flush_directory(path.parent)`: one call for many files.
    """
    with refused(path), Draft(os.path.dirname(path), path) as draft:
        draft.write(data)
        if flush:
            flush_descriptor(draft.descriptor)
        draft.install(os.fspath(path), mode=mode)


def copy_file(source: Path | str, target: Path | str, *, executable: bool | None = None, fresh: bool = False) -> None:
    """Copy a file's bytes: a clone where the file system does that, never a link. The target appears at once.

    `executable` None takes the source's own bit. Permissions are 0644 or 0755, whatever the umask says. `fresh` says
    that the directory is nobody else's and has no such file: then it is written in place, which is cheaper.
    """
    with refused(source):
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if executable is None:
            executable = bool(os.fstat(reading).st_mode & stat.S_IXUSR)
        mode = 0o755 if executable else 0o644
        if fresh:
            with refused(target), created(target, mode) as writing:
                copy(reading, writing)
            return
        with refused(target), Draft(os.path.dirname(target), target) as draft:
            copy(reading, draft.descriptor)
            draft.install(os.fspath(target), mode=mode)
    finally:
        os.close(reading)


@contextmanager
def created(path: os.PathLike[str] | str, mode: int) -> Iterator[int]:
    """A descriptor of a new file with this mode, whatever the umask says; it is an error when something is there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


def remove_tree(path: Path | str) -> None:
    """Remove a file, a link or a whole directory, however deep and however read-only. Links are never followed.

    What somebody else removes meanwhile is removed.
    """
    with refused(path):
        try:
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        except FileNotFoundError:
            return
        if not is_directory:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        if _remove_shallow(os.fspath(path), None, _SHALLOW):
            return
        with suppress(FileNotFoundError):
            while not _empty(os.fspath(path)):
                pass


def _remove_shallow(name: str, parent: int | None, depth: int) -> bool:
    """Remove an ordinary tree in the ordinary way. False when it is deep, or something is in the way."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for below, is_directory in _names(descriptor):
                if not is_directory:
                    os.unlink(below, dir_fd=descriptor)
                elif depth == _SHALLOW and _is_removed(below, descriptor):
                    pass  # of a place that was used, the upper directories are often empty
                elif not depth or not _remove_shallow(below, descriptor, depth - 1):
                    return False
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=parent)
    except OSError:
        return False
    return True


def _is_removed(name: str, parent: int) -> bool:
    """Remove a directory, if it is empty."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError:
        return False
    return True


def _empty(path: str) -> bool:
    """Remove what a directory holds, then itself. False when somebody else put something there meanwhile."""
    top = _open_directory(path, None)
    try:
        while _thin(top):
            pass
    finally:
        os.close(top)
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def _thin(top: int) -> bool:
    """Remove one layer. True when there is another one.

    Approach: what a sub-directory holds is removed, but for its own sub-directories, which are moved up to the top.
    So two descriptors and no recursion remove a tree of any depth, where paths would grow too long.
    """
    is_layered = False
    for name, is_directory in _names(top):
        if not is_directory:
            _unlink(name, top)
            continue
        with suppress(FileNotFoundError):
            below = _open_directory(name, top)
            try:
                is_layered |= _move_up(below, top)
            finally:
                os.close(below)
            os.rmdir(name, dir_fd=top)
    return is_layered


def _move_up(below: int, top: int) -> bool:
    """Remove the files of a sub-directory, and move its directories to the top. True when it had any."""
    is_layered = False
    for name, is_directory in _names(below):
        if not is_directory:
            _unlink(name, below)
            continue
        with suppress(FileNotFoundError):
            os.close(_open_directory(name, below))  # moving a directory needs the right to write in it
            os.rename(name, unique_name(), src_dir_fd=below, dst_dir_fd=top)
            is_layered = True
    return is_layered


def _names(directory: int) -> list[tuple[str, bool]]:
    with os.scandir(directory) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _unlink(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _open_directory(name: str, parent: int | None) -> int:
    """Open a directory for removing what it holds, and give ourselves the rights for that."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, flags, dir_fd=parent)
    if os.fstat(descriptor).st_mode & 0o700 != 0o700:
        with suppress(OSError):  # not ours, perhaps: then removing says so
            os.fchmod(descriptor, 0o700)
    return descriptor
