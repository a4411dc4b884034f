"""Loading a bundle that somebody else may have touched: strictly, or not at all.

Knows nothing of how a bundle comes to be.

Shapes:  Bundle. Strict means: not in progress, an index, every indexed file a regular one of the recorded size, digest
         and schema version, and an index that tells of the same run as run_status.json. `missing` fails no load.
Errors:  NotCommitted for a run that has no index or is in progress; StoreCorrupt naming the file; DiskRefused.
Source:  seed 003, reading.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowbuild.bundle.held import Held
from flowbuild.bundle.index import MAX_BYTES, Artifact, Index, read_index
from flowbuild.bundle.layout import INDEX, LATEST, RUN_MANIFEST, RUN_STATUS, latest
from flowbuild.core.errors import NotCommitted, StoreCorrupt

_AGAIN = "build the target again"
# The clocks of file systems tick every 10 ms at worst: within two ticks of the index, times decide nothing.
_TICKS_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every file was what its index says when it was loaded."""

    path: Path
    run_status: dict[str, Any]
    run_manifest: dict[str, Any] | None
    index: Index

    def read(self, name: str) -> bytes:
        """The bytes of an indexed file, checked again."""
        entry = _entry(self.index, name)
        if entry is None:
            raise StoreCorrupt(f"{self.path}: the index has no {name}")
        with Held(self.path) as held:
            return held.checked(entry)

    def document(self, name: str) -> Any:
        """An indexed JSON document."""
        return _json(self.path / name, self.read(name))


def resolve(path: Path) -> Path:
    """The bundle that a path means: the run that its LATEST names, or the directory itself."""
    if not os.path.lexists(path / LATEST):
        return path
    run_id = latest(path)
    if run_id is None:
        raise StoreCorrupt(f"{path / LATEST}: names no run", remedy=_AGAIN)
    if not (path / run_id).is_dir():
        raise StoreCorrupt(f"{path / LATEST}: names {run_id}, which is not there", remedy=_AGAIN)
    return path / run_id


def load(path: Path) -> Bundle:
    """The bundle at a path, or below an output root, strictly."""
    where = resolve(path)
    with Held(where) as held:
        status, found = _head(held)
        for entry in found.artifacts:
            held.check(entry)
        listed = _entry(found, RUN_MANIFEST)
        manifest = _object(where / RUN_MANIFEST, held.checked(listed)) if listed else None
    return Bundle(where, status, manifest, found)


def intact(path: Path) -> bool:
    """Whether a bundle is what was committed, as far as stat can see, and by its bytes where stat can't.

    Every file was there before the index was: one that changed since has a later ctime, and is hashed.
    """
    try:
        where = resolve(path)
        with Held(where) as held:
            found = _head(held)[1]
            committed_ns = held.stamp(INDEX)[1]
            for entry in found.artifacts:
                size, changed_ns = held.stamp(entry.path)
                if size != entry.file_size or changed_ns > committed_ns - _TICKS_NS:
                    held.check(entry)
    except (NotCommitted, StoreCorrupt):
        return False
    return True


def _head(held: Held) -> tuple[dict[str, Any], Index]:
    """Status and index, which tell of the same run."""
    if not held.has(RUN_STATUS):
        raise NotCommitted(f"{held.path}: no run is there")
    status = _object(held.path / RUN_STATUS, held.read(RUN_STATUS, MAX_BYTES))
    if status.get("state") == "in_progress":
        raise NotCommitted(f"{held.path}: this run is in progress, or was killed", remedy=_AGAIN)
    if not held.has(INDEX):
        raise NotCommitted(f"{held.path}: this run was never committed: it has no {INDEX}", remedy=_AGAIN)
    try:
        found = read_index(held.read(INDEX, MAX_BYTES))
    except StoreCorrupt as error:
        raise StoreCorrupt(f"{held.path}/{error.message}", remedy=error.remedy) from None
    for key, value in (("run_id", found.run_id), ("world_id", found.world_id)):
        if status.get(key) != value:
            told = f"{value!r:.80}, but {status.get(key)!r:.80} in {RUN_STATUS}"
            raise StoreCorrupt(f"{held.path / INDEX}: {key} is {told}", remedy=_AGAIN)
    return status, found


def _entry(found: Index, name: str) -> Artifact | None:
    return next((entry for entry in found.artifacts if entry.path == name), None)


def _json(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt(f"{path}: not JSON: {error}", remedy=_AGAIN) from None


def _object(path: Path, data: bytes) -> dict[str, Any]:
    doc = _json(path, data)
    if not isinstance(doc, dict):
        raise StoreCorrupt(f"{path}: not a JSON object", remedy=_AGAIN)
    return doc
