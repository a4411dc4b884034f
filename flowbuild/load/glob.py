"""Globs: the files of a package that a few patterns name.

Knows nothing of targets. Globs are of the common kind, not gitignore's: anchored at the package, `*` and `?` stay
within a name, `**` is any number of directories, `[abc]` one of some characters. A glob stops at directories that have
a BUILD.yaml or flowbuild.yaml of their own, enters no link to a directory, and takes no BUILD.yaml; names that begin
with a dot are names like others.

Shapes:  workspace-relative paths with `/`, sorted by code point. `visited` is told each directory whose entries
         decided something, relative to the workspace, "" for its root.
Errors:  BadAttribute for a pattern, BadPath for a name that can't be written or a link that leaves the workspace,
         DiskRefused for a directory that can't be listed.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from flowbuild.core.errors import BadAttribute, BadPath
from flowbuild.load.ignore import Ignore
from flowbuild.load.path import RESERVED, check_name
from flowbuild.store.refusal import refused

BUILD_FILE = "BUILD.yaml"
WORKSPACE_FILE = "flowbuild.yaml"

_ANY = re.compile("")  # stands for `**`
_Parts = tuple[re.Pattern[str], ...]
_States = frozenset[tuple[int, int]]  # (glob, part that comes next)


def expand(
    root: Path,
    package: str,
    globs: Sequence[str],
    exclude: Sequence[str],
    ignore: Ignore,
    visited: Callable[[str], None],
) -> list[str]:
    """The files that any of the globs names, less those that are excluded or ignored."""
    walk = _Walk(root, package, [_compile(glob) for glob in globs], Ignore(exclude), ignore, visited)
    return sorted(walk.files())


def check_glob(glob: str) -> None:
    """Refuse a pattern that could not match, or that promises what globs don't do."""
    problem = remedy = ""
    parts = glob.split("/")
    if not glob or glob.startswith("/"):
        problem, remedy = "is not relative to the package", "write it like texts/**/*.txt"
    elif glob.endswith("/"):
        problem, remedy = "names a directory, and globs name files", f"write {glob}**"
    elif glob.startswith("!"):
        problem, remedy = "begins with '!'", "leave files out with `exclude:`"
    elif any(sign in glob for sign in "\\{}\0\n"):
        problem, remedy = "holds a character that globs give no meaning", "write a list of globs"
    elif any(part in ("", ".", "..") for part in parts):
        problem, remedy = "holds an empty name, '.' or '..'", "write it relative to the package"
    elif any("**" in part and part != "**" for part in parts):
        problem, remedy = "holds '**' inside a name", "'**' stands alone between two '/'"
    if problem:
        raise BadAttribute(f"the glob {glob!r} {problem}", remedy=remedy)


def list_directory(path: Path) -> list[os.DirEntry[str]]:
    """The entries of a directory in order of name; none when it has gone meanwhile."""
    with refused(path):
        try:
            with os.scandir(path) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []


class _Walk:
    """One walk for all globs: each directory is listed once, with the parts that may come next in it."""

    def __init__(
        self,
        root: Path,
        package: str,
        globs: list[_Parts],
        exclude: Ignore,
        ignore: Ignore,
        visited: Callable[[str], None],
    ) -> None:
        self.root = root
        self.package = package
        self.globs = globs
        self.exclude = exclude
        self.ignore = ignore
        self.visited = visited
        self.real_root = os.path.realpath(root)

    def files(self) -> Iterable[str]:
        to_list = [(self.package, self._closed((number, 0) for number in range(len(self.globs))))]
        while to_list:
            directory, states = to_list.pop()
            self.visited(directory)
            entries = list_directory(self.root / directory)
            if directory != self.package and any(e.name in (BUILD_FILE, WORKSPACE_FILE) for e in entries):
                continue
            for entry in entries:
                after = self._after(states, entry.name)
                path = f"{directory}/{entry.name}" if directory else entry.name
                if not after or self._is_left_out(path, entry):
                    continue
                is_matched = any(part == len(self.globs[number]) for number, part in after)
                goes_on = any(part < len(self.globs[number]) for number, part in after)
                if entry.is_dir(follow_symlinks=False):
                    to_list += [(path, after)] if goes_on else []
                elif is_matched and self._is_file(path, entry):
                    yield path

    def _closed(self, states: Iterable[tuple[int, int]]) -> _States:
        """States, and those that they reach without a name: `**` may be no directory at all."""
        found = set(states)
        for number, part in list(found):
            while part < len(self.globs[number]) and self.globs[number][part] is _ANY:
                part += 1
                found.add((number, part))
        return frozenset(found)

    def _after(self, states: _States, name: str) -> _States:
        after = set()
        for number, part in states:
            parts = self.globs[number]
            if part < len(parts) and parts[part] is _ANY:
                after.add((number, part))
            elif part < len(parts) and parts[part].match(name):
                after.add((number, part + 1))
        return self._closed(after)

    def _is_left_out(self, path: str, entry: os.DirEntry[str]) -> bool:
        slash = "/" if entry.is_dir(follow_symlinks=False) else ""
        if path in RESERVED or self.ignore.matches(path + slash):
            return True
        inside = path[len(self.package) + 1 :] if self.package else path
        return self.exclude.matches(inside + slash)

    def _is_file(self, path: str, entry: os.DirEntry[str]) -> bool:
        if entry.name == BUILD_FILE:
            return False
        if not (os.path.isfile(entry) if entry.is_symlink() else entry.is_file()):
            if not os.path.exists(entry):  # a link to nothing yet, as editors leave for locks
                self.visited(path)
            return False
        inside = path[len(self.package) + 1 :] if self.package else path
        if inside.startswith("-"):
            raise BadPath(f"the file {path!r} begins with '-', like an option of a command", remedy="rename it")
        for name in path.split("/"):
            check_name(name, path)
        if entry.is_symlink():
            target = os.path.realpath(self.root / path)
            if not target.startswith(self.real_root + os.sep):
                raise BadPath(f"{path} is a link that leaves the workspace", remedy="copy the file, or exclude it")
        return True


def _compile(glob: str) -> _Parts:
    check_glob(glob)
    parts = glob.split("/")
    if parts[-1] == "**":
        parts.append("*")
    try:
        return tuple(_ANY if part == "**" else re.compile(fnmatch.translate(part)) for part in parts)
    except re.error as error:
        raise BadAttribute(f"the glob {glob!r} can't be read: {error}") from None
