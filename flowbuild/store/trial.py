"""What the file system of a directory really does: each thing that a store relies on, tried there.

Knows nothing of stores. All of it happens in a directory of its own, which is gone afterwards.

Shapes:  Trial: the name of what was tried, whether it works, and the errno's name where the system refused.
Errors:  none: a refusal is an answer.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flowbuild.core.errors import DiskRefused
from flowbuild.store.files import atomic_write, remove_tree
from flowbuild.store.flush import flush_directory, flush_file, flush_filesystem
from flowbuild.store.lock import try_hold
from flowbuild.store.stream import clone


class Trial(NamedTuple):
    """What one thing came to."""

    name: str
    works: bool
    errno_name: str | None = None


def trials(directory: Path) -> list[Trial]:
    """Try everything in a directory; a directory that takes no file has nothing else to tell."""
    try:
        place = Path(tempfile.mkdtemp(prefix="doctor-", dir=directory))
    except OSError as error:
        return [Trial("write", False, errno.errorcode.get(error.errno or 0))]
    try:
        written = _tried("write", place, _write)
        return [written, *(_tried(name, place, act) for name, act in _TRIALS.items() if written.works)]
    finally:
        remove_tree(place)


def _write(place: Path) -> bool:
    atomic_write(place / "file", b"bytes\n")
    return (place / "file").read_bytes() == b"bytes\n"


def _fsync(place: Path) -> bool:
    return flush_file(place / "file") and flush_directory(place)


def _lock(place: Path) -> bool:
    """One holder, and no second one while there is a first."""
    one, two = (os.open(place / "file", os.O_RDWR | os.O_CLOEXEC) for _ in range(2))
    try:
        return try_hold(one) and not try_hold(two)
    finally:
        os.close(one)
        os.close(two)


def _clone(place: Path) -> bool:
    source = os.open(place / "file", os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(place / "clone", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return clone(source, target)
    finally:
        os.close(source)
        os.close(target)


_TRIALS: dict[str, Callable[[Path], bool]] = {
    "fsync": _fsync,
    "syncfs": flush_filesystem,
    "lock": _lock,
    "clone": _clone,
}


def _tried(name: str, place: Path, act: Callable[[Path], bool]) -> Trial:
    try:
        return Trial(name, act(place))
    except DiskRefused as refusal:
        return Trial(name, False, (refusal.details or {}).get("errno"))
    except OSError as error:
        return Trial(name, False, errno.errorcode.get(error.errno or 0))
