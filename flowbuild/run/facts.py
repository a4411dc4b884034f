"""What binding asks of this machine: digests of sources, programs, code and distributions, and of the host.

Knows nothing of states' order or of outcomes. Every answer is kept for the session, so that one run sees one world;
every file and absence that an answer depended on is told to `seen`.

Errors:  BadPath for a source that is not there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import BadPath
from flowbuild.engine import probe
from flowbuild.graph.state import Code, State
from flowbuild.load.catalog import Seen as Watch
from flowbuild.load.distributions import Distributions, Found
from flowbuild.load.imports import locate
from flowbuild.load.revision import commit_of
from flowbuild.store.stamps import Seen, Stamps
from flowbuild.store.tree import Entry, listing


class HostFacts:
    """The facts of one session. `world` is asked once, and only if some state observes the host."""

    def __init__(
        self,
        root: Path,
        search_path: tuple[str, ...],
        stamps: Stamps,
        distributions: Distributions,
        world: Callable[[], Mapping[str, Any]],
        seen: Watch,
        variables: Mapping[str, str],
    ) -> None:
        self._root = root
        self._search_path = search_path
        self._stamps = stamps
        self._distributions = distributions
        self._world = world
        self._seen = seen
        self._variables = variables
        self._real_root = os.path.realpath(root)
        self._directories: dict[str, bool] = {}
        self._programs: dict[str, Mapping[str, Any] | None] = {}
        self._sources: dict[str, tuple[Digest, bool]] = {}
        self._harness: Mapping[str, Any] | None = None
        self.asked_variables: set[str] = set()
        self.asked_world: Mapping[str, Any] | None = None

    @cached_property
    def commit(self) -> str | None:
        """The commit that the workspace's checkout stands at. It is told, and decides nothing."""
        return commit_of(self._root)

    def source(self, path: str) -> tuple[Digest, bool]:
        """The digest of a file, relative to the root or absolute, and whether it is executable."""
        found = self._sources.get(path)
        if found is None:
            self._seen.file(path)  # before the digest: a change in between is then seen next time
            place = os.path.join(self._root, path)
            if not os.path.isfile(place):
                is_directory = os.path.isdir(place)
                what = "a directory; a directory as an input is written with `glob`" if is_directory else "not there"
                raise BadPath(f"{path} is {what}")
            if not os.path.isabs(path) and self._leaves(place):
                raise BadPath(f"{path} is a link that leaves the workspace", remedy="copy the file into the workspace")
            found = self._sources[path] = self._stamps.digest(place)
        return found

    def _leaves(self, place: str) -> bool:
        """Whether a source is reached through a link that leads out of the workspace."""
        directory = os.path.dirname(place)
        if directory not in self._directories:
            self._directories[directory] = _is_below(os.path.realpath(directory), self._real_root)
        return not self._directories[directory] or (
            os.path.islink(place) and not _is_below(os.path.realpath(place), self._real_root)
        )

    def moved(self, paths: list[str]) -> list[str]:
        """Which of these files changed since they were hashed."""
        seen = {path: Seen(*self._sources[path]) for path in paths if path in self._sources}
        moved = [path for path, saw in seen.items() if self._stamps.moved(os.path.join(self._root, path), saw)]
        for path in moved:
            del self._sources[path]
        return moved

    def variable(self, name: str) -> str | None:
        self.asked_variables.add(name)
        return self._variables.get(name)

    def world(self) -> Mapping[str, Any]:
        if self.asked_world is None:
            self.asked_world = self._world()
        return self.asked_world

    def program(self, name: str) -> Mapping[str, Any] | None:
        """The first program of that name in the search path, with its interpreter if it is a script."""
        if name not in self._programs:
            self._programs[name] = None  # a script that names itself as its interpreter ends here
            self._programs[name] = self._find(name)
        return self._programs[name]

    def executor(self, argv: tuple[str, ...]) -> Mapping[str, Any]:
        """The program behind an executor's argv: its files by digest, all other words as they are."""
        words = [self.source(word)[0] if os.path.isfile(word) else word for word in argv]
        return {"program": self.program(argv[0]), "words": words if os.path.isfile(argv[0]) else words[1:]}

    def harness(self) -> Mapping[str, Any]:
        """The probe harness: what its own source files say, so that another harness is another action."""
        if self._harness is None:
            place = Path(probe.__file__).parent
            entries = [Entry(name, *self.source(str(place / name))) for name in probe.SOURCES]
            self._harness = {"name": "probe", "listing": listing(entries)}
        return self._harness

    def _find(self, name: str) -> Mapping[str, Any] | None:
        candidates = [name] if name.startswith("/") else [f"{directory}/{name}" for directory in self._search_path]
        for candidate in candidates:
            if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
                sha, _ = self.source(candidate)
                found: dict[str, Any] = {"name": name, "sha256": sha}
                interpreter = self._interpreter(candidate)
                if interpreter is not None:
                    found["interpreter"] = interpreter
                return found
            (self._seen.file if os.path.exists(candidate) else self._seen.absent)(candidate)
        return None

    def _interpreter(self, script: str) -> str | None:
        """The digest of what a script's first line names; of the program behind the word after `env`."""
        words = _first_line(script)
        if not words or not os.path.isfile(words[0]):
            return None
        if os.path.basename(words[0]) == "env":
            names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
            behind = self.program(names[0]) if names else None
            return str(behind["sha256"]) if behind else None
        return self.source(words[0])[0]

    def code(self, code: Code) -> Mapping[str, Any]:
        """The handler part of an action: source, modules and distributions."""
        found = self._distributions.behind(code.distributions) if code.distributions else Found({}, ())
        for path in (*found.watched, *self._distributions.places):  # what is not installed may be, next time
            self._seen.file(str(path))
        return {
            "function": code.function,
            "source": self.source(code.source or self._installed(code))[0],
            "modules": {path: self.source(path)[0] for path in code.modules.values()},
            "distributions": dict(found.docs),
        }

    def remembers(self, state: State) -> bool:
        """Whether the result of a state may be kept: not when it imports what cannot be identified."""
        code = state.code
        if code is None or not code.distributions:
            return True
        return None not in self._distributions.behind(code.distributions).docs.values()

    def _installed(self, code: Code) -> str:
        """The file of an installed handler module."""
        place = locate(code.module or "")
        if place is None:
            raise BadPath(f"no module {code.module!r} is installed for handler {code.module}:{code.function}")
        return str(place)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _first_line(path: str) -> list[str]:
    """The words after `#!` of a script; none for anything else."""
    with open(path, "rb") as file:
        first = file.readline(256)
    return first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
