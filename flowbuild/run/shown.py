"""Shown outputs: copies of what was asked for, where people look for them.

Knows nothing of how they were made. A shown output never shares an inode with the store; one that was edited or
deleted is put back.
"""

from __future__ import annotations

import os
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
    for label in labels:
        for one in graph.targets[label].outputs.values():
            for item in one.items:
                if isinstance(item, Product) and graph.states[item.state].label == label and item.state in products:
                    _show(session, item.path.rstrip("/"), products[item.state][item.output])


def _show(session: Session, path: str, artifact: Artifact) -> None:
    root, cas = session.workspace.root, session.cas
    _clear_way(root, path)
    if not artifact.is_directory:
        if not _is_shown(session, root / path, artifact):
            materialize(cas, artifact, root / path)
        _watch(session, path, artifact.sha256)
        return
    found = entries(cas, artifact.sha256)
    _watch_directories(session, path, found)
    wanted = {f"{path}/{entry.path}": entry for entry in found}
    whole = all(_is_shown(session, root / place, Artifact(e.sha256, 0, e.executable)) for place, e in wanted.items())
    if not whole or not (root / path).is_dir() or _files(root / path) != {str(root / place) for place in wanted}:
        materialize(cas, artifact, root / path)
        _watch_directories(session, path, found)
    session.rows.stored(cas.path(artifact.sha256))
    for place, entry in wanted.items():
        _watch(session, place, entry.sha256)


def _clear_way(root: Path, path: str) -> None:
    """A file where a directory must be is an output of a target that is gone, or somebody's slip: ours to replace."""
    top, kind, *above = path.split("/")[:-1]
    for count in range(1, len(above) + 1):
        place = root.joinpath(top, kind, *above[:count])
        if os.path.lexists(place) and not place.is_dir():
            remove_tree(place)


def _watch_directories(session: Session, path: str, found: Iterable[Entry]) -> None:
    """Told before they are looked into, and again after they were written."""
    inside = {f"{path}/{entry.path}".rpartition("/")[0] for entry in found}
    for directory in inside | {path}:
        if (session.workspace.root / directory).is_dir():
            session.rows.directory(session.workspace.root / directory)


def _watch(session: Session, path: str, digest: Digest) -> None:
    session.rows.output(session.workspace.root / path)
    session.rows.stored(session.cas.path(digest))


def _is_shown(session: Session, place: Path, artifact: Artifact) -> bool:
    if place.is_symlink() or not place.is_file():
        return False
    try:
        seen = session.stamps.digest(place)
    except FlowError:
        return False
    return tuple(seen[:2]) == (artifact.sha256, artifact.executable)


def _files(directory: Path) -> set[str]:
    return {os.path.join(top, name) for top, _, names in os.walk(directory) for name in names}
