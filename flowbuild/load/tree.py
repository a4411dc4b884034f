"""The tree that evidence documents are found in: plans, registry indexes and pairs of registry documents.

Knows nothing of what the documents say, but for the kind of an index. The tree is the workspace if there is one; else
the checkout, or the directory that somebody stands in, so that documents of others are used where they lie.

Shapes:  a plan is a `plan.json`; an index a `registry_index.json`, or an `index.json` of that schema; a pair is a
         directory with `probes.json` and `profiles.json`. Bundles hold files of these names too, and are left out.
Errors:  those of flowbuild.yaml.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowbuild.core.errors import DiskRefused, FlowError
from flowbuild.load.config import DEFAULT_IGNORE
from flowbuild.load.glob import WORKSPACE_FILE
from flowbuild.load.ignore import Ignore
from flowbuild.load.strict_json import read_json
from flowbuild.load.workspace import open_workspace

PLAN, PROBES, PROFILES = "plan.json", "probes.json", "profiles.json"
INDEX_SCHEMA = "runtime-tools.registry_index.v0.1"
_INDEXES = ("registry_index.json", "index.json")
_BUNDLE = "run_status.json"


@dataclass(frozen=True, slots=True)
class Tree:
    """What was found below a root: files of plans and indexes, directories of pairs. Sorted."""

    root: Path
    plans: tuple[Path, ...]
    indexes: tuple[Path, ...]
    pairs: tuple[Path, ...]
    ignore: Ignore

    def files(self) -> Iterator[Path]:
        """Every regular file of the tree in a stable order, bundles left out; links are not followed."""
        for directory, names in _directories(self.root, self.ignore):
            yield from (directory / name for name in sorted(names) if _is_regular(directory / name))

    def shown(self, path: Path) -> str:
        """How messages and listings name a file of the tree."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def root_of(start: Path) -> Path:
    """The root of the tree that a directory lies in."""
    here = Path(os.path.abspath(start))
    for mark in (WORKSPACE_FILE, ".git"):
        for directory in (here, *here.parents):
            if (directory / mark).exists():
                return directory
    stand = Path.cwd()
    return stand if here.is_relative_to(stand) else here


def is_workspace(root: Path) -> bool:
    """Whether a tree's root is a workspace, whose targets count too."""
    return (root / WORKSPACE_FILE).is_file()


def find_tree(root: Path) -> Tree:
    """What lies below a root."""
    ignore = open_workspace(root).ignore if is_workspace(root) else Ignore(DEFAULT_IGNORE)
    plans: list[Path] = []
    indexes: list[Path] = []
    pairs: list[Path] = []
    for directory, names in _directories(root, ignore):
        if PLAN in names:
            plans.append(directory / PLAN)
        if {PROBES, PROFILES} <= names:
            pairs.append(directory)
        indexes += [directory / name for name in _INDEXES if name in names and _is_index(directory / name)]
    return Tree(root, tuple(sorted(plans)), tuple(sorted(indexes)), tuple(sorted(pairs)), ignore)


def _directories(root: Path, ignore: Ignore) -> Iterator[tuple[Path, set[str]]]:
    """Every directory of the tree that is no bundle, with the names of its files."""
    for place, directories, files in os.walk(root):
        below = os.path.relpath(place, root)
        prefix = "" if below == "." else f"{below}/"
        directories[:] = sorted(name for name in directories if not ignore.matches(f"{prefix}{name}/"))
        is_foreign = _BUNDLE in files or (prefix and WORKSPACE_FILE in files)  # a bundle, a workspace of its own
        if is_foreign:
            directories.clear()
            continue
        yield Path(place), {name for name in files if not ignore.matches(f"{prefix}{name}")}


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(file).st_mode)
    except OSError:  # gone meanwhile
        return False


def _is_index(file: Path) -> bool:
    """Whether a file is an index of registries. One with the full name is, even when it can't be read."""
    if file.name == _INDEXES[0]:
        return True
    try:
        value = read_json(file, str(file)).value
    except (FlowError, DiskRefused, ExceptionGroup, FileNotFoundError):
        return file.parent.name == "registry"
    return isinstance(value, dict) and str(value.get("schema_version")).startswith("runtime-tools.registry_index.")
