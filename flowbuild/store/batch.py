"""New files put below a directory together: all of them, or none.

Knows nothing of what the files say. What stands in the way is found before anything is written. Every file is written
beside its place first; only renames are left then, and when one of them is refused, the others are undone. A process
that is killed between two renames leaves whole files.

Errors:  PathTaken, all at once, naming what is in the way; DiskRefused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from flowbuild.core.errors import PathTaken, raise_all
from flowbuild.store.draft import Draft, unique_name
from flowbuild.store.refusal import refused


class Item(NamedTuple):
    """One file: a relative path that is known to stay below, its bytes, and its mode."""

    path: str
    data: bytes
    mode: int


def write(root: Path, items: Sequence[Item], *, overwrite: bool) -> None:
    """Put the files below `root`, which is made when it is not there."""
    raise_all(_taken(root, items, overwrite))
    done: list[_Undo] = []
    try:
        with ExitStack() as drafts:
            ready = []
            for item in items:
                place = root / item.path
                done += _directories(place.parent)
                draft = drafts.enter_context(Draft(os.fspath(place.parent), place))
                draft.write(item.data)
                ready.append((draft, place, item.mode))
            for draft, place, mode in ready:
                done.append(_kept(place) if overwrite else _reserved(place))
                draft.install(os.fspath(place), mode=mode)
    except BaseException:
        for step in reversed(done):
            step.back()
        raise
    for step in done:
        step.forget()


class _Undo(NamedTuple):
    """How to take one step back: a file or directory that was not there, or with `saved` what stood in its place."""

    path: Path
    saved: Path | None = None

    def back(self) -> None:
        with suppress(OSError):
            if self.saved is not None:
                os.rename(self.saved, self.path)  # which does nothing when the two are still one file
                self.forget()
            elif self.path.is_dir():
                os.rmdir(self.path)
            else:
                os.unlink(self.path)

    def forget(self) -> None:
        with suppress(OSError):
            if self.saved is not None:
                os.unlink(self.saved)


def _reserved(place: Path) -> _Undo:
    """Our empty file at a place, so that nobody else's is replaced: somebody may have come since we looked."""
    with refused(place):
        try:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise PathTaken(f"{place} is there already", remedy="--overwrite replaces it") from None
    return _Undo(place)


def _kept(place: Path) -> _Undo:
    """What stands at a place, kept under a second name while it is replaced."""
    saved = place.parent / unique_name()
    with refused(place):
        try:
            os.link(place, saved, follow_symlinks=False)
        except FileNotFoundError:
            return _Undo(place)
    return _Undo(place, saved)


def _directories(path: Path) -> Iterator[_Undo]:
    """Make a directory and those above it; the ones that were not there."""
    if path.is_dir():
        return
    yield from _directories(path.parent)
    with refused(path):
        try:
            os.mkdir(path)
        except FileExistsError:
            return
    yield _Undo(path)


def _taken(root: Path, items: Iterable[Item], overwrite: bool) -> list[PathTaken]:
    """What is in the way of these files."""
    found: dict[Path, PathTaken] = {}
    if os.path.lexists(root) and not root.is_dir():
        return [PathTaken(f"{root} is there, and is no directory")]
    for item in items:
        place = root
        *above, name = item.path.split("/")
        for part in above:
            place /= part
            kind = _kind(place)
            if kind not in ("", "a directory"):
                found[place] = PathTaken(f"{place} is {kind}, where a directory is needed", remedy="move it away")
        kind = _kind(place / name)
        if kind == "a file":
            if not overwrite:
                found[place / name] = PathTaken(f"{place / name} is there already", remedy="--overwrite replaces it")
        elif kind:
            found[place / name] = PathTaken(f"{place / name} is {kind}, where a file is needed", remedy="move it away")
    return list(found.values())


def _kind(path: Path) -> str:
    """What stands at a path; nothing for nothing."""
    with refused(path):
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ""
    if stat.S_ISREG(mode):
        return "a file"
    return "a directory" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "a device or pipe"
