"""What a build's answer rested on, collected while it looks, and written as a null table if stat can vouch for it all.

Knows nothing of what the paths mean. Three kinds of doubt, all resolved towards no table, which only costs time:

1. A file as new as the collection could change once more without a trace in its times. Sources are older than the
   build that reads them, or there is no table. What flowbuild wrote itself is new by nature: `write` waits a tick.
2. A directory that is as new is listed again by every check.
3. Whatever differs between two looks.

What "new" means is asked of the file system, by writing a file: its clock is not ours. Another file system has another
clock, and gets ten seconds of distance.

Errors:  none. What can't be seen can't be vouched for.
Source:  git's racy index; EXAMPLES, "Racy files".
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

from flowbuild.store.null import FILE, OBJECT, PLACE, checksum, header, listing, place

KEPT = 8
"""How many tables a workspace keeps: about as many as there are requests that somebody goes back and forth between."""

Row = tuple[int, int, int, int, int]
Path = str | os.PathLike[str]

_ELSEWHERE_NS = 10 * 10**9
_FEW = 3  # a directory costs as much to open as two more names in a path


def row(found: os.stat_result) -> Row:
    """What must stay of a file: size, mtime and ctime in nanoseconds, inode, mode."""
    return cast(Row, FILE(found))


class Rows:
    """The collector. Made before the first file is read; `is_sound` turns false when stat can't vouch for something."""

    def __init__(self, root: Path, *, is_wanted: bool = True) -> None:
        self.root = os.path.abspath(os.fspath(root))
        self.newest_ns = 0  # of what flowbuild wrote itself
        self.files: dict[str, Row] = {}
        self.objects: dict[str, tuple[int, int, int]] = {}
        self.gone: set[str] = set()
        self.directories: dict[str, tuple[int, int, int, list[str], frozenset[str]]] = {}
        self.variables: dict[str, str | None] = {}
        self.worlds: set[str] = set()
        self._start_ns, self._device = 0, -1
        if is_wanted:
            with suppress(OSError):
                self._start_ns, self._device = tick(self.root)
        self.is_sound = self._device != -1

    def spoil(self) -> None:
        """The answer rests on something that stat can't see: no table."""
        self.is_sound = False

    def file(self, path: Path, seen: Row | None = None) -> None:
        """A file that was read. `seen` is its row of just before it was read, where the caller has it."""
        self._take(path, seen, is_ours=False)

    def output(self, path: Path, seen: Row | None = None) -> None:
        """A file that flowbuild wrote, in this build or an earlier one."""
        self._take(path, seen, is_ours=True)

    def stored(self, path: Path) -> None:
        """An object of a content-addressed store: another file of the same size, times and mode is as good."""
        found = self._look(path)
        if found:
            self._age(found, is_ours=True, touched_ns=found.st_mtime_ns)
            self.objects[self._name(path)] = OBJECT(found)

    def absent(self, path: Path) -> None:
        """A file that was looked for, and is not there."""
        if os.access(os.path.join(self.root, path), os.F_OK):
            self.is_sound = False
        self.gone.add(self._name(path))

    def directory(self, path: Path, ignored: frozenset[str] = frozenset(), seen: Collection[str] | None = None) -> None:
        """A directory whose names decided something. To be called *before* it is listed, or else with what was `seen`.

        So whatever changes between this look and the caller's has moved since.
        """
        name, found = self._name(path), self._look(path)
        if not found:
            return
        if name in self.directories:
            ignored &= self.directories[name][-1]
        try:
            names = listing(os.path.join(self.root, name), ignored)
        except OSError:
            return self.spoil()
        if seen is not None and {*seen} - ignored != set(map(_plain, names)):
            self.is_sound = False
        ctime_ns = found.st_ctime_ns
        if not self._is_older(found, max(found.st_mtime_ns, ctime_ns)):
            ctime_ns = -1  # equal to no stat
        self.directories[name] = (found.st_mtime_ns, ctime_ns, found.st_ino, names, ignored)

    def environment(self, name: str) -> None:
        """An environment variable: its value, or that it has none."""
        self.variables[name] = os.environ.get(name)

    def world(self, world_id: str) -> None:
        """The fingerprint of the host."""
        self.worlds.add(world_id)

    def _take(self, path: Path, seen: Row | None, *, is_ours: bool) -> None:
        found = self._look(path)
        if not found:
            return
        now, name = row(found), self._name(path)
        if (seen or now) != now or self.files.get(name, now) != now:
            self.is_sound = False
        self._age(found, is_ours, max(found.st_mtime_ns, found.st_ctime_ns))
        self.files[name] = now

    def _age(self, found: os.stat_result, is_ours: bool, touched_ns: int) -> None:
        if not self._is_older(found, touched_ns):
            if is_ours and found.st_dev == self._device:
                self.newest_ns = max(self.newest_ns, touched_ns)
            else:
                self.is_sound = False

    def _is_older(self, found: os.stat_result, touched_ns: int) -> bool:
        return touched_ns < self._start_ns - (0 if found.st_dev == self._device else _ELSEWHERE_NS)

    def _look(self, path: Path) -> os.stat_result | None:
        try:
            return os.stat(os.path.join(self.root, path))
        except OSError:
            self.is_sound = False
            return None

    def _name(self, path: Path) -> str:
        """The path as the table has it: relative to the root where it lies below, so that a workspace may move."""
        name = os.fspath(path)
        if name.startswith(self.root) and name[len(self.root) : len(self.root) + 1] in ("/", ""):
            name = name[len(self.root) + 1 :]
        return name or "."


def tick(root: str) -> tuple[int, int]:
    """The time by the clock of the workspace's file system, and that file system's number."""
    os.makedirs(f"{root}/{PLACE}", exist_ok=True)
    path = _draft(root)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        found = os.fstat(descriptor)
        return found.st_mtime_ns, found.st_dev
    finally:
        os.close(descriptor)
        os.unlink(path)


def write(rows: Rows, key: str, text: str) -> bool:
    """Write the table of a request whose answer is `text`, if its rows can be vouched for. Says whether it did."""
    if not rows.is_sound or sys.hash_info.width < 64:  # 31 bits are too few to stand for a group of rows
        return False
    draft = _draft(rows.root)
    try:
        body = marshal.dumps(_body(rows, key, text))
        if not _is_settled(rows):
            return False
        with open(draft, "xb") as file:
            file.write(header() + checksum(body) + body)
        os.replace(draft, place(rows.root, key))
        _drop_oldest(f"{rows.root}/{PLACE}")
    except OSError:
        with suppress(OSError):
            os.unlink(draft)
        return False
    return True


def _is_settled(rows: Rows) -> bool:
    """Wait until whatever happens next to our own files gets a later time: a few milliseconds, or not at all."""
    for _ in range(12):
        if tick(rows.root)[0] > rows.newest_ns:
            return True
        time.sleep(0.005)
    return False


def _body(rows: Rows, key: str, text: str) -> Any:
    return (
        key,
        text,
        sorted(rows.variables.items()),
        sorted(rows.worlds),
        [(path, *row) for path, row in sorted(rows.directories.items())],
        sorted(_unlisted(rows)),
        _groups(rows.files),
        _groups(rows.objects),
    )


def _unlisted(rows: Rows) -> Iterable[str]:
    """The absent files whose absence no directory's row says already."""
    known = {path: {*map(_plain, names)} | ignored for path, (*_, names, ignored) in rows.directories.items()}
    for path in rows.gone:
        if path.rpartition("/")[2] in known.get(_parent(path), {path.rpartition("/")[2]}):
            yield path


def _plain(marked: str) -> str:
    return marked.partition("/")[0]


def _groups(rows: Mapping[str, tuple[int, ...]]) -> list[tuple[bytes, bytes, int]]:
    """Directory, names, and one number for the rows of the names: the other side of `null.tally`."""
    return [
        (
            os.fsencode(directory),
            b"\0".join(os.fsencode(name) for name, _ in group),
            hash(tuple(rows[path] for _, path in group)),
        )
        for directory, group in _grouped(rows).items()
    ]


def _grouped(paths: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """(name, path) by directory; where a directory has few names, they are named from its parent."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(paths):
        groups.setdefault(_parent(path), []).append((path.rpartition("/")[2], path))
    for depth in range(max((path.count("/") for path in groups), default=0), -1, -1):
        lone = [path for path in groups if path.count("/") == depth and len(groups[path]) < _FEW]
        for directory in lone:
            if directory not in (".", "/"):
                above = groups.setdefault(_parent(directory), [])
                last = directory.rpartition("/")[2]
                above += [(f"{last}/{name}", path) for name, path in groups.pop(directory)]
    return groups


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def _drop_oldest(directory: str) -> None:
    with os.scandir(directory) as entries:
        tables = sorted(entries, key=lambda entry: -entry.stat().st_mtime_ns)
    for entry in tables[KEPT:]:
        with suppress(OSError):
            os.unlink(entry.path)


def _draft(root: str) -> str:
    return f"{root}/{PLACE}/.{os.getpid()}-{os.urandom(4).hex()}"
