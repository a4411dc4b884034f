"""The catalog: packages, targets and rules of one workspace, read when they are asked for.

Knows nothing of states. Each file is read once; `seen` is told of every file and directory that an answer
depended on, which is what the null table is made of.

Errors:  UnknownTarget, UnknownRule, NoMatch for a pattern, and every fault of a file that is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from flowbuild.core.errors import Location, NoMatch, UnknownTarget
from flowbuild.core.label import Label, Pattern
from flowbuild.core.suggest import did_you_mean
from flowbuild.load import glob as globs
from flowbuild.load.document import ParsedFiles
from flowbuild.load.glob import BUILD_FILE, WORKSPACE_FILE
from flowbuild.load.package import Package, Target, load_package, no_package
from flowbuild.load.position import Pointer, Positions
from flowbuild.load.rule import Rule
from flowbuild.load.rulefile import load_rules
from flowbuild.load.workspace import TEMPLATE_FILE, TEMPLATES, Workspace, find_rule_files, packages


class Seen(Protocol):
    """Who is told what an answer depended on. Paths are relative to the workspace root."""

    def file(self, path: str) -> None: ...

    def absent(self, path: str) -> None: ...

    def source(self, path: str) -> None: ...

    def directory(self, path: str) -> None: ...


class Installed(Protocol):
    """Who knows what is installed."""

    def is_installed(self, name: str) -> bool: ...


class Catalog:
    """Everything that the text files of a workspace say, read lazily."""

    def __init__(self, workspace: Workspace, seen: Seen, parsed: ParsedFiles | None, installed: Installed) -> None:
        self.workspace = workspace
        self.seen = seen
        self._parsed = parsed
        self.installed = installed
        seen.file(WORKSPACE_FILE)
        self._packages: dict[str, Package] = {}
        self._positions: dict[str, Positions] = {}  # a file may have a fault for each of its targets
        self._rules: Mapping[str, Rule] | None = None

    @property
    def rules(self) -> Mapping[str, Rule]:
        """Every rule, the workspace's own and the built-in ones, by name."""
        if self._rules is None:
            for file in find_rule_files(self.workspace, self._visited):
                self.seen.file(str(file.path))
            self._rules = load_rules(self.workspace, self._visited, self._parsed)
        return self._rules

    def package(self, name: str) -> Package | None:
        """The package in a directory, or None when that directory has no BUILD.yaml."""
        if name not in self._packages:
            path = f"{name}/{BUILD_FILE}" if name else BUILD_FILE
            if not (self.workspace.root / path).is_file():
                self.seen.absent(path)
                return None
            self.seen.file(path)
            parts = name.split("/") if name else []
            for count in range(1, len(parts) + 1):  # a workspace of its own there would take the package away
                self.seen.absent(f"{'/'.join(parts[:count])}/{WORKSPACE_FILE}")
            if parts[:1] == [TEMPLATES] and parts[1:]:  # and so would a template
                self.seen.absent(f"{TEMPLATES}/{parts[1]}/{TEMPLATE_FILE}")
            self._packages[name] = load_package(self.workspace, name, self.rules, self._parsed)
        return self._packages[name]

    def target(self, label: Label, asked_at: Location | None = None) -> Target:
        """The declaration behind a label. `asked_at` is where somebody wrote it."""
        package = self.package(label.package)
        if package is None:
            raise no_package(self.workspace, label.package, asked_at)
        if label.name not in package.targets:
            near = did_you_mean(label.name, package.targets)
            message = f"{package.path} has no target {label.name!r}"
            raise UnknownTarget(message, remedy=near, location=asked_at)
        return package.targets[label.name]

    def packages(self, pattern: Pattern) -> list[str]:
        """The directories that a pattern reaches and that hold a BUILD.yaml, sorted."""
        return packages(self.workspace, pattern, self._visited)

    def _visited(self, directory: str) -> None:
        if (self.workspace.root / directory).is_dir():
            self.seen.directory(directory)
        else:
            self.seen.absent(directory)

    def select(self, patterns: Sequence[Pattern]) -> list[Label]:
        """The labels that patterns pick, in stable order: each positive one picks something, and something is left."""
        found: dict[Label, None] = {}
        for pattern in patterns:
            if pattern.negative:
                for label in [label for label in found if pattern.matches(label)]:
                    del found[label]
                continue
            picked = self._matching(pattern)
            if not picked:
                raise NoMatch(f"no target matches {pattern}")
            found.update(dict.fromkeys(picked))
        if patterns and not found:
            raise NoMatch(f"nothing is left of {' '.join(map(str, patterns))}")
        return list(found)

    def _matching(self, pattern: Pattern) -> list[Label]:
        if pattern.name is not None:
            return [self.target(Label(pattern.package, pattern.name)).label]
        names = self.packages(pattern) if pattern.tree else [pattern.package]
        loaded = [self.package(name) for name in names]
        if not pattern.tree and loaded == [None]:
            self.target(Label(pattern.package, "all"))
        return [target.label for package in loaded if package for target in package.targets.values()]

    def glob(self, package: str, patterns: Sequence[str], exclude: Sequence[str]) -> list[str]:
        """The files of a package that patterns match, as workspace paths."""
        space = self.workspace
        return globs.expand(space.root, package, patterns, exclude, space.ignore, self._visited)

    def owner(self, path: str) -> str:
        """The package that a file belongs to: the nearest directory above it with a BUILD.yaml."""
        directory = path.rpartition("/")[0]
        while directory and self.package(directory) is None:
            directory = directory.rpartition("/")[0]
        return directory

    def locate(self, target: Target, pointer: Iterable[str | int] = ()) -> Location:
        """Where a value of a target stands in its BUILD.yaml."""
        return self.place(target.path, (*target.pointer, *pointer))

    def place(self, path: str, pointer: Pointer) -> Location:
        """Where a value of a file of the workspace stands."""
        if path not in self._positions:
            self._positions[path] = Positions((self.workspace.root / path).read_bytes(), path)
        return self._positions[path].find(pointer)
