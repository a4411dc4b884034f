"""Where an action runs: its root, its directory, its home; and how a person gets there again.

Knows nothing of processes. Staged, the root is a fresh directory that holds the declared inputs at their own places; in
place, it is the workspace. Either way the scratch directory has a home and a directory for temporary files.

Shapes:  <scratch>/{tree/<package>, home, tmp, script}.
Errors:  DiskRefused when a directory can't be made; BadPath when an output lies outside the root.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowbuild.core.action import Action
from flowbuild.core.errors import BadPath
from flowbuild.engine.engine import Io
from flowbuild.store.refusal import refused as disk_refused

_OWN = ("home", "tmp")

# What every action sees beside what it declares. None of them is a secret.
FIXED = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONHASHSEED"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where one action runs. `root` is the workspace's root as the action sees it."""

    scratch: Path
    root: Path
    cwd: Path
    staged: bool

    @property
    def home(self) -> Path:
        return self.scratch / "home"

    @property
    def tmp(self) -> Path:
        return self.scratch / "tmp"

    @property
    def script(self) -> Path:
        return self.scratch / "script"

    def output(self, path: str) -> Path:
        """Where an output lies, by its path from the root."""
        return self.root / path

    def environment(self, given: Mapping[str, str], declared: Mapping[str, str]) -> dict[str, str]:
        """The variables that an action sees: those given, and its own home unless it declares another."""
        own = {"HOME": f"{self.scratch}/home", "TMPDIR": f"{self.scratch}/tmp"}
        return {**given, **{name: value for name, value in own.items() if name not in declared}}

    def reproduce(
        self, workspace: Path, environment: Mapping[str, str], declared: Mapping[str, str], argv: Sequence[str]
    ) -> str:
        """A command for a shell at the workspace's root. Variables that are not in the key are named, not told."""
        cwd = os.path.relpath(self.cwd, workspace) if self.cwd.is_relative_to(workspace) else str(self.cwd)
        words = [self._variable(name, value, declared) for name, value in sorted(environment.items())]
        return " ".join(["cd", shlex.quote(cwd), "&&", "env", "-i", *words, *map(shlex.quote, argv)])

    def _variable(self, name: str, value: str, declared: Mapping[str, str]) -> str:
        if value in (str(self.home), str(self.tmp)):
            return f'{name}="$PWD"/{shlex.quote(os.path.relpath(value, self.cwd))}'
        if name in FIXED or declared.get(name) == value:
            return f"{name}={shlex.quote(value)}"
        return f'{name}="${name}"'


def prepare(action: Action, io: Io, *, staged: bool = True) -> Place:
    """Make the place of an action: inputs put, directories of outputs made, stale outputs gone."""
    directories = [_directory(action, path) for path in action.outputs.values()]
    if not staged:
        place = Place(io.scratch(action, _OWN), io.workspace, io.workspace / action.package, staged)
        with disk_refused(place.cwd):
            os.makedirs(place.cwd, exist_ok=True)
        for path, directory in zip(action.outputs.values(), directories, strict=True):
            with disk_refused(place.output(path)):
                _remove(place.output(path))
                os.makedirs(place.root / directory, exist_ok=True)
        return place
    files = [os.path.dirname(item.path) for item in action.staged if not item.path.endswith("/")]
    scratch = io.scratch(action, (*_OWN, *_with_parents([action.package, *files, *directories])))
    root = scratch / "tree"
    io.stage(action.staged, root)
    if len(files) < len(action.staged):  # a staged directory took the place of what was there
        for directory in directories:
            with disk_refused(root / directory):
                os.makedirs(root / directory, exist_ok=True)
    return Place(scratch, root, root / action.package, staged)


def _directory(action: Action, path: str) -> str:
    """The directory of an output, by its path from the root."""
    inner = os.path.normpath(path)
    if os.path.isabs(inner) or inner.partition("/")[0] in ("", ".", ".."):
        raise BadPath(f"output {path!r} of {action.label} lies outside the workspace")
    return os.path.dirname(inner)


def _with_parents(directories: Sequence[str]) -> list[str]:
    """Directories of the tree and all that lead to them, parents first."""
    found = {"tree"}
    for directory in directories:
        inner = f"tree/{directory}" if directory else "tree"
        while inner not in found:
            found.add(inner)
            inner = os.path.dirname(inner)
    return sorted(found)


def shown(path: Path, workspace: Path) -> str:
    """A path for people: from the workspace's root when it lies below."""
    return os.path.relpath(path, workspace) if path.is_relative_to(workspace) else str(path)


def _remove(path: Path) -> None:
    """Remove a stale output; a link goes, never what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
