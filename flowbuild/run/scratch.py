"""The scratch directories of a run: each action has a fresh one, and where it can, one that served before.

Knows nothing of what is done in them. Directories cost a file system more than all else that a small action needs. So
those of an action that is done are emptied and given to the next, under its name: only if the engine says that nobody
uses them any more, and only those that are as they were made. Whatever else is in the way is removed.

Shapes:  directories are named by their paths from the scratch directory, parents before what is below them.
Errors:  DiskRefused when a directory can't be made or removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from flowbuild.store.files import refused, remove_tree

_Look = tuple[object, ...]


class ScratchPool:
    """The scratch directories below one directory. `given` has the path of each directory that is in use."""

    def __init__(self, directory: str) -> None:
        self.given: set[str] = set()
        self._directory = directory
        self._wanted: dict[str, tuple[str, ...]] = {}  # what is in each that is in use
        self._vacant: dict[str, tuple[str, ...]] = {}  # what is in each that is not
        self._look: _Look = ()

    def take(self, name: str, wanted: Iterable[str] = ()) -> str:
        """A scratch directory that holds these empty directories, and nothing else."""
        place, directories = f"{self._directory}/{name}", tuple(wanted)
        with refused(place):
            _furnish(place, self._reuse(name, place), directories)
        self._wanted[name] = directories
        self.given.update([f"{place}/{inner}" for inner in directories])
        return place

    def vacate(self, name: str) -> None:
        """Nobody uses it any more: it may serve the next action. What can't is removed."""
        left = None
        with suppress(OSError):
            left = self._emptied(f"{self._directory}/{name}")
        if left is None:
            self.remove(name)
        else:
            self._forget(name)
            self._vacant[name] = left

    def remove(self, name: str) -> None:
        """Remove it, whatever it holds."""
        self._forget(name)
        remove_tree(f"{self._directory}/{name}")

    def tidy(self) -> None:
        """Remove those that no action uses."""
        while self._vacant:
            remove_tree(f"{self._directory}/{self._vacant.popitem()[0]}")

    def _forget(self, name: str) -> None:
        self.given.difference_update([f"{self._directory}/{name}/{inner}" for inner in self._wanted.pop(name, ())])

    def _reuse(self, name: str, place: str) -> tuple[str, ...]:
        """Have a directory at a place: one that served before, or a new one. What it holds."""
        if name in self._vacant:
            return self._vacant.pop(name)
        if os.path.lexists(place):
            remove_tree(place)
        if self._vacant:
            former, left = self._vacant.popitem()
            os.rename(f"{self._directory}/{former}", place)
            return left
        os.makedirs(place, exist_ok=True)
        return ()

    def _emptied(self, place: str) -> tuple[str, ...] | None:
        """Empty a scratch directory; which of its directories are left, all as ours were made. None if it isn't."""
        self._look = self._look or _look(self._directory)
        left: list[str] = []
        waiting = [""]
        while waiting:
            inner = waiting.pop()
            directory = f"{place}/{inner}" if inner else place
            if _look(directory) != self._look:
                if not inner:
                    return None
                remove_tree(directory)
                continue
            if inner:
                left.append(inner)
            with os.scandir(directory) as entries:
                for entry in list(entries):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{inner}/{entry.name}" if inner else entry.name)
                    else:
                        os.unlink(entry.path)
        return tuple(left)


def _look(directory: str) -> _Look:
    """What an action could have changed of a directory."""
    found = os.lstat(directory)
    names = os.listxattr(directory, follow_symlinks=False)
    attributes = tuple([(name, os.getxattr(directory, name)) for name in names])
    return (found.st_mode, found.st_uid, found.st_gid, found.st_dev, *attributes)


def _furnish(place: str, left: Iterable[str], wanted: tuple[str, ...]) -> None:
    """Have these directories and no others. One that is too many is moved to where one is missing."""
    there, needed = set(left), set(wanted)
    spare = sorted(there - needed)  # no wanted one is below them, so the last holds nothing
    for inner in wanted:
        if inner in there:
            continue
        if spare:
            os.rename(f"{place}/{spare.pop()}", f"{place}/{inner}")
        else:
            with suppress(FileExistsError):  # another spelling of a name, where the file system takes both for one
                os.mkdir(f"{place}/{inner}")
    for inner in reversed(spare):
        os.rmdir(f"{place}/{inner}")
