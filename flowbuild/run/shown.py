"""Shown outputs: copies of what was asked for, where people look for them.

Knows nothing of how they were made. A shown output never shares an inode with the store; one that was edited or
deleted is put back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import FlowError
from flowbuild.core.label import Label
from flowbuild.graph.state import Product, StateGraph
from flowbuild.run.session import Session
from flowbuild.store.files import remove_tree
from flowbuild.store.tree import Artifact, Entry, entries, materialize


def shown_paths(graph: StateGraph, label: Label) -> dict[str, tuple[str, ...]]:
    """The paths below the workspace root where a target's own outputs are shown, by output name: of a list, all."""
    built = graph.targets[label]
    if built.fold is not None:
        return {name: (path,) for name, path in built.fold.outputs.items()}
    found = {
        name: tuple(
            item.path for item in one.items if isinstance(item, Product) and graph.states[item.state].label == label
        )
        for name, one in built.outputs.items()
    }
    return {name: paths for name, paths in found.items() if paths}


def show(
    session: Session, graph: StateGraph, labels: Iterable[Label], products: Mapping[int, Mapping[str, Artifact]]
) -> None:
    """Put the outputs of these targets in their place, and tell the null table what it must watch."""
    shown = _Shown(session)
    for label in labels:
        for one in graph.targets[label].outputs.values():
            for item in one.items:
                if isinstance(item, Product) and graph.states[item.state].label == label and item.state in products:
                    shown.show(item.path.rstrip("/"), products[item.state][item.output])


class _Shown:
    """The outputs of one build. Paths are text: most outputs stand where they did, and are only looked at."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._root = os.fspath(session.workspace.root)
        self._ways: set[str] = set()  # directories that are there

    def show(self, path: str, artifact: Artifact) -> None:
        place, cas, rows = f"{self._root}/{path}", self._session.cas, self._session.rows
        self._clear_way(path)
        if not artifact.is_directory:
            if not self._is_shown(place, artifact.sha256, artifact.executable):
                materialize(cas, artifact, Path(place))
            self._watch(place, artifact.sha256)
            return
        found = entries(cas, artifact.sha256)
        self._watch_directories(place, found)
        wanted = {f"{place}/{entry.path}": entry for entry in found}
        whole = all(self._is_shown(where, entry.sha256, entry.executable) for where, entry in wanted.items())
        if not whole or not os.path.isdir(place) or _files(place) != wanted.keys():
            materialize(cas, artifact, Path(place))
            self._watch_directories(place, found)
        rows.stored(cas.place(artifact.sha256))
        for where, entry in wanted.items():
            self._watch(where, entry.sha256)

    def _clear_way(self, path: str) -> None:
        """A file where a directory must be is an output of a target that is gone, or somebody's slip: ours to
        replace."""
        top, kind, *above = path.split("/")[:-1]
        way = f"{self._root}/{top}/{kind}"
        for name in above:
            way = f"{way}/{name}"
            if way not in self._ways:
                if os.path.isdir(way):
                    self._ways.add(way)
                elif os.path.lexists(way):
                    remove_tree(Path(way))

    def _watch_directories(self, place: str, found: Iterable[Entry]) -> None:
        """Told before they are looked into, and again after they were written."""
        inside = {f"{place}/{entry.path}".rpartition("/")[0] for entry in found}
        for directory in inside | {place}:
            if os.path.isdir(directory):
                self._session.rows.directory(directory)

    def _watch(self, place: str, digest: Digest) -> None:
        self._session.rows.output(place)
        self._session.rows.stored(self._session.cas.place(digest))

    def _is_shown(self, place: str, digest: Digest, is_executable: bool) -> bool:
        """Whether a file, and no link to one, has these bytes."""
        try:
            if not stat.S_ISREG(os.lstat(place).st_mode):
                return False
            seen = self._session.stamps.digest(place)
        except (OSError, FlowError):
            return False
        return tuple(seen[:2]) == (digest, is_executable)


def _files(directory: str) -> set[str]:
    return {os.path.join(top, name) for top, _, names in os.walk(directory) for name in names}
