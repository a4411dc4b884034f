"""Reading a bundle that somebody else may have touched: strictly, or with everything that is wrong with it.

Knows nothing of how a bundle comes to be.

Shapes:  RunBundle. Strict means: not in progress, an index, every indexed file a regular one of the recorded size,
         digest and schema version, and an index that tells of the same run as run_status.json. `missing` fails no
         strict load; it fails `validate_bundle`, and so does whatever else stands in the directory.
Errors:  NotCommitted for a run that has no index or is in progress; StoreCorrupt naming the file; DiskRefused.
Source:  seed 003, reading.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.bundle.held import Held
from flowbuild.bundle.index import MAX_BYTES, MAX_PARSED, Artifact, Index, index_document, read_index
from flowbuild.bundle.layout import INDEX, LATEST, RUN_MANIFEST, RUN_STATUS, latest
from flowbuild.bundle.stray import strays
from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import NotCommitted, StoreCorrupt, StoreError

_AGAIN = "build the target again"
# The clocks of file systems tick every 10 ms at worst: within two ticks of the index, times decide nothing.
_TICKS_NS = 20_000_000
MOST = 1000  # faults that are kept of one bundle: nobody reads more


@dataclass(frozen=True, slots=True)
class RunBundle:
    """A bundle. Without faults it is verified: every file was what its index says when it was loaded.

    `status` is run_status.json; `index_digest` stands for all files. Of an unverified bundle each may be absent.
    """

    out_dir: Path
    status: dict[str, Any] | None
    run_manifest: dict[str, Any] | None
    index: Index | None
    index_digest: Digest | None
    faults: tuple[StoreError, ...] = ()

    @property
    def artifact_index(self) -> dict[str, Any] | None:
        """The index as its document."""
        return index_document(self.index) if self.index else None

    @property
    def is_verified(self) -> bool:
        return not self.faults

    def has(self, name: str) -> bool:
        """Whether the index lists this file."""
        return self.index is not None and _entry(self.index, name) is not None

    def read(self, name: str) -> bytes:
        """The bytes of an indexed file, checked again."""
        entry = _entry(self.index, name) if self.index else None
        if entry is None:
            raise StoreCorrupt(f"{self.out_dir}: the index has no {name}")
        with Held(self.out_dir) as held:
            return held.checked(entry)

    def document(self, name: str) -> Any:
        """An indexed JSON document."""
        return _json(self.out_dir / name, self.read(name))


class ValidationResult(NamedTuple):
    """Whether a bundle is whole, and every fault of it, naming the file."""

    ok: bool
    errors: tuple[str, ...]


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


def load_bundle(out_root: Path | str) -> RunBundle:
    """The bundle at a path, or below an output root, strictly."""
    where = resolve(Path(out_root))
    with Held(where) as held:
        status, found, digest = _head(held)
        for fault in _damage(held, found):
            raise fault
        return RunBundle(where, status, _manifest(held, found), found, digest)


def open_bundle_unverified(out_root: Path | str) -> RunBundle:
    """Whatever of a bundle can be read, with its faults. Never promotable when there is one."""
    where = resolve(Path(out_root))
    with Held(where) as held:
        status, found, digest, faults = _readable_head(held)
        manifest = None
        try:
            manifest = _manifest(held, found)
        except StoreError as error:
            faults.append(error)
        if found is not None:
            known = {str(fault) for fault in faults}
            faults += [fault for fault in islice(_damage(held, found), MOST) if str(fault) not in known]
    return RunBundle(where, status, manifest, found, digest, tuple(faults))


def validate_bundle(out_root: Path | str) -> ValidationResult:
    """Whether a bundle is whole: it loads strictly, nothing of it is missing, and nothing else lies with it."""
    try:
        errors = tuple(everything_wrong(open_bundle_unverified(out_root)))
    except StoreError as error:
        errors = (error.message,)
    return ValidationResult(not errors, errors)


def everything_wrong(bundle: RunBundle) -> list[str]:
    """Every fault of a bundle that was opened unverified, each once, naming the file."""
    errors: list[StoreError] = list(bundle.faults)
    if bundle.index is not None:
        errors += [_missing(bundle.out_dir, name) for name in bundle.index.missing]
        with Held(bundle.out_dir) as held:
            errors += islice(strays(held, bundle.index), MOST)
    return list(dict.fromkeys(error.message for error in errors))


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


def _head(held: Held) -> tuple[dict[str, Any], Index, Digest]:
    """Status and index, which tell of the same run."""
    status = final_status(held)
    found, digest = _index(held)
    for fault in _strangers(held, status, found):
        raise fault
    return status, found, digest


def _readable_head(
    held: Held,
) -> tuple[dict[str, Any] | None, Index | None, Digest | None, list[StoreError]]:
    """Status and index as far as they can be read, and what is wrong with them."""
    status, found, digest, faults = None, None, None, list[StoreError]()
    try:
        status = document(held, RUN_STATUS)
        final_status(held)
    except StoreError as error:
        faults.append(error)
    try:
        found, digest = _index(held)
    except StoreError as error:
        faults.append(error)
    if status is not None and found is not None:
        faults += _strangers(held, status, found)
    return status, found, digest, faults


def final_status(held: Held) -> dict[str, Any]:
    """The run's status, which is final."""
    status = document(held, RUN_STATUS)
    if status is None:
        raise NotCommitted(f"{held.path}: no run is there")
    if status.get("state") == "in_progress":
        raise NotCommitted(f"{held.path}: this run is in progress, or was killed", remedy=_AGAIN)
    return status


def _index(held: Held) -> tuple[Index, Digest]:
    """The index, and the digest of the very bytes that it was read from."""
    if not held.has(INDEX):
        raise NotCommitted(f"{held.path}: this run was never committed: it has no {INDEX}", remedy=_AGAIN)
    try:
        data = held.read(INDEX, MAX_BYTES)
        return read_index(data), sha256(data)
    except StoreCorrupt as error:
        at = "" if error.message.startswith(str(held.path)) else f"{held.path}/"
        raise StoreCorrupt(f"{at}{error.message}", remedy=error.remedy) from None


def _strangers(held: Held, status: dict[str, Any], found: Index) -> Iterator[StoreCorrupt]:
    for key, value in (("run_id", found.run_id), ("world_id", found.world_id)):
        if status.get(key) != value:
            told = f"{value!r:.80}, but {status.get(key)!r:.80} in {RUN_STATUS}"
            yield StoreCorrupt(f"{held.path / INDEX}: {key} is {told}", remedy=_AGAIN)


def _damage(held: Held, found: Index) -> Iterator[StoreCorrupt]:
    """What is wrong with the indexed files, one fault each."""
    for entry in found.artifacts:
        try:
            held.check(entry)
        except StoreCorrupt as error:
            yield error


def _manifest(held: Held, found: Index | None) -> dict[str, Any] | None:
    """run_manifest.json: as it was indexed, or without an index as it stands there."""
    if found is None:
        return document(held, RUN_MANIFEST)
    entry = _entry(found, RUN_MANIFEST)
    if entry is not None and entry.file_size > MAX_PARSED:
        raise StoreCorrupt(f"{held.path / RUN_MANIFEST}: more than {MAX_PARSED} bytes")
    return _object(held.path / RUN_MANIFEST, held.checked(entry)) if entry else None


def document(held: Held, name: str) -> dict[str, Any] | None:
    """A document as it stands there; None when it does not."""
    return _object(held.path / name, held.read(name, MAX_PARSED)) if held.has(name) else None


def _missing(where: Path, name: str) -> StoreCorrupt:
    return StoreCorrupt(f"{where / name}: missing, as the index says")


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
