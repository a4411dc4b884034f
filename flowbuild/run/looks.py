"""Looks: what a graph was made of, so that it can be told later whether the same would be made again.

Knows nothing of graphs. `Looks` stands between the catalog and whoever else is told what it reads. It notes each file
by its digest, each file that was not there, the names in each directory, and which imports are of something installed.
What a kept `doc` says is no look of its own: what is lowered anew looks for itself.

Shapes:  `doc` is plain values, as marshal takes them. Paths are from the workspace's root, or absolute.
Errors:  none. What can't be looked at is not what it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbuild.core.errors import FlowError
from flowbuild.load.distributions import Distributions
from flowbuild.load.imports import locate
from flowbuild.store.null import listing
from flowbuild.store.stamps import Stamps

if TYPE_CHECKING:
    from flowbuild.run.session import SeenRows

Doc = dict[str, Any]


class Looks:
    """The looks of one session. All are told to `seen` too, those that are only taken over from a `doc` as well.

    `read` are files that were read before, with the digest of what they said then.
    """

    def __init__(
        self, root: Path, seen: SeenRows, stamps: Stamps, distributions: Distributions, read: Mapping[str, str]
    ) -> None:
        self._root = root
        self._seen = seen
        self._stamps = stamps
        self._distributions = distributions
        self._files: dict[str, str | None] = {**read}
        self._absent: dict[str, bool] = {}
        self._named: dict[str, None] = {}
        self._directories: dict[str, tuple[list[str], frozenset[str]] | None] = {}
        self._imports: dict[str, bool] = {}

    def file(self, path: str) -> None:
        """A file that is about to be read."""
        self._seen.file(path)
        if path not in self._files:
            self._files[path] = self._digest(path)

    def absent(self, path: str) -> None:
        """A file that was looked for, and is not there."""
        if path not in self._absent:
            self._absent[path] = os.path.lexists(os.path.join(self._root, path))  # a link to nothing
            self._seen.absent(path)

    def source(self, path: str) -> None:
        """A file that a target names: it is there."""
        self._named[path] = None

    def directory(self, path: str) -> None:
        """A directory that is about to be listed."""
        self._seen.directory(path)
        if path not in self._directories:
            hidden = self._seen.hidden(path)
            names = self._names(path, hidden)
            self._directories[path] = None if names is None else (names, hidden)

    def is_installed(self, name: str) -> bool:
        """Whether a top-level import name comes from a distribution."""
        self._imports[name] = found = self._distributions.is_installed(name)
        return found

    def doc(self, sources: Iterable[str], modules: Iterable[str]) -> Doc:
        """All of it, with files of which only that they are there was asked, and modules that were looked for.

        A file that a target names and no state takes is told to `seen` here: nobody binds it.
        """
        taken = dict.fromkeys(sources)
        named = [path for path in self._named if path not in taken]
        for path in named:
            self._seen.source(path)
        return {
            "files": self._files,
            "places": {path: self._real(path) for path in {os.path.dirname(path) for path in self._files}},
            "absent": self._absent,
            "directories": self._directories,
            "imports": self._imports,
            "sources": list(taken),
            "named": named,
            "modules": {name: self._module(name) for name in dict.fromkeys(modules)},
        }

    def take(self, doc: Doc) -> bool:
        """Whether every look would be the same today. If so, `seen` is told of them."""
        there = (*doc["files"], *doc["directories"], *doc["named"])
        if any(map(self._is_there, doc["absent"])) or not all(map(self._is_there, there)):
            return False  # before anything is told: telling of such a file spoils the null table
        if any(doc["files"].get(path, digest) != digest for path, digest in self._files.items()):
            return False
        for path in doc["files"]:
            self._seen.file(path)
        for path in doc["named"]:
            self._seen.source(path)
        for path in doc["absent"]:
            self._seen.absent(path)
        for path in doc["directories"]:
            self._seen.directory(path)
        return self.stand(doc)

    def stand(self, doc: Doc) -> bool:
        """Whether every look would be the same now."""
        root = os.fspath(self._root)
        return (
            all(self._is_absent(path, is_link) for path, is_link in doc["absent"].items())
            and all(digest is not None and self._digest(path) == digest for path, digest in doc["files"].items())
            and all(self._real(path) == place for path, place in doc["places"].items())
            and all(row is not None and self._names(p, row[1]) == row[0] for p, row in doc["directories"].items())
            and all(os.path.isfile(f"{root}/{path}") for path in (*doc["sources"], *doc["named"]))
            and all(self._module(name) == place for name, place in doc["modules"].items())
            and all(self._distributions.is_installed(name) is found for name, found in doc["imports"].items())
        )

    def _is_there(self, path: str) -> bool:
        return os.path.exists(os.path.join(self._root, path))

    def _is_absent(self, path: str, is_link: bool) -> bool:
        place = os.path.join(self._root, path)
        return os.path.lexists(place) is is_link and not (is_link and os.path.exists(place))

    def _digest(self, path: str) -> str | None:
        try:
            return self._stamps.digest(self._root / path).sha256
        except FlowError:
            return None

    def _real(self, path: str) -> str:
        """Where a directory is: a link that was put in its place may lead to files with the same bytes."""
        return os.path.realpath(os.path.join(self._root, path))

    def _names(self, path: str, hidden: frozenset[str]) -> list[str] | None:
        """As `listing` has them. Of a link to a file also where it really leads: another may stand on its way."""
        place = os.path.join(self._root, path)
        try:
            names = listing(place, hidden)
        except OSError:
            return None
        return [self._led(place, one) if "/" in one[:-1] else one for one in names]

    @staticmethod
    def _led(directory: str, name: str) -> str:
        place = os.path.join(directory, name.partition("/")[0])
        return f"{name} {os.path.realpath(place)}" if os.path.isfile(place) else name

    @staticmethod
    def _module(name: str) -> str:
        return str(locate(name))
