"""What a bundle holds so that it explains and repeats itself: every artifact that its journal leads to.

Knows nothing of documents. The manifest, action documents and their listings, sources, outputs, facts and context
snapshots, each under its digest. What is larger than the limit, or no longer there, is external: named, not held. So is
a source that holds the value of a secret.

Shapes:  yields (digest, bytes); `external` collects {"sha256", "path"} rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowbuild.bundle.commit import Writer
from flowbuild.bundle.documents import pretty
from flowbuild.core.action import Action
from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.graph.state import State, StateGraph
from flowbuild.run.artifacts import Kind, artifacts
from flowbuild.run.bind import hashed
from flowbuild.run.result import Result
from flowbuild.run.run import Run
from flowbuild.run.session import Session
from flowbuild.store.journal import read
from flowbuild.store.tree import Artifact, entries

Row = dict[str, Any]
EXTERNAL = "external.json"


class Objects:
    """The objects of one run. Iterate once, then `external` says what is not among them."""

    def __init__(self, session: Session, graph: StateGraph, run: Run, result: Result) -> None:
        self._session = session
        self._graph = graph
        self._run = run
        self._result = result
        self._most = session.workspace.config.bundle_max_input
        self._given: set[str] = set()
        self.external: list[Row] = []

    def __iter__(self) -> Iterator[tuple[Digest, bytes]]:
        for data in (canonical(self._run.manifest), b"{}", *self._run.desk.contexts.snapshots.values()):
            yield from self._bytes(data)
        for number in self._result.keys:
            state = self._graph.states[number]
            action = self._run.desk.bind(state, self._result.products)
            yield from self._action(state, action)
            for child in self._run.desk.children(state):
                yield from self._action(child.state, child.action)
            yield from self._sources(number, action)
        left = [made for children in self._result.left.values() for made in children.values()]
        for products in [*self._result.products.values(), *left]:
            for artifact in products.values():
                yield from self._artifact(artifact, "")
        for digest in self._run.desk.recorded:
            yield from self._stored(digest, "")
        yield from self._before()

    def _before(self) -> Iterator[tuple[Digest, bytes]]:
        """The snapshots of what ended before the run was killed, failed attempts too: nothing here came to those."""
        for one in artifacts(read(self._run.resumed)) if self._run.resumed is not None else ():
            if one.kind is Kind.CONTEXT_SNAPSHOT and one.artifact_id not in self._given:
                if self._session.cas.intact(one.artifact_id):
                    yield from self._stored(one.artifact_id, "")
                else:
                    self._is_external(one.artifact_id, "")

    def _action(self, state: State, action: Action) -> Iterator[tuple[Digest, bytes]]:
        for data in (canonical(action.doc), canonical(hashed(state, action.doc)), *action.listings):
            yield from self._bytes(data)

    def _sources(self, number: int, action: Action) -> Iterator[tuple[Digest, bytes]]:
        """The workspace files that an action read, as they were when it was bound."""
        for path in self._graph.states[number].sources:
            digest, _ = self._session.facts.source(path)
            if digest in self._given:
                continue
            place = self._session.workspace.root / path
            data = place.read_bytes() if place.is_file() and place.stat().st_size <= self._most else None
            if data is None or sha256(data) != digest or self._session.mask.finds(data):
                self._is_external(digest, path)
            else:
                yield from self._bytes(data)

    def _artifact(self, artifact: Artifact, path: str) -> Iterator[tuple[Digest, bytes]]:
        yield from self._stored(artifact.sha256, path, None if artifact.is_directory else artifact.size)
        if artifact.is_directory:
            for entry in entries(self._session.cas, artifact.sha256):
                yield from self._stored(entry.sha256, entry.path)

    def _stored(self, digest: Digest, path: str, size: int | None = None) -> Iterator[tuple[Digest, bytes]]:
        if digest in self._given:
            return
        size = self._session.cas.path(digest).stat().st_size if size is None else size
        if size > self._most:
            self._is_external(digest, path)
            return
        self._given.add(digest)
        yield digest, self._session.cas.read(digest)

    def _bytes(self, data: bytes) -> Iterator[tuple[Digest, bytes]]:
        digest = sha256(data)
        if digest not in self._given:
            self._given.add(digest)
            yield digest, data

    def _is_external(self, digest: Digest, path: str) -> None:
        self._given.add(digest)
        self.external.append({"path": path, "sha256": digest})


def hold(writer: Writer, objects: Objects) -> None:
    """Put a run's objects into its bundle, and beside them the list of those that are not."""
    for digest, data in objects:
        writer.add_object(digest, data)
    if objects.external:
        rows = sorted(objects.external, key=lambda row: row["sha256"])
        writer.add(EXTERNAL, pretty({"schema_version": "flowbuild.external.v0.1", "artifacts": rows}))
