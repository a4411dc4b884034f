"""Indexing a bundle again: a strict look, or a repair that says what it found and makes nothing better than it was.

Knows nothing of what the files mean. A repair keeps the run's identity, its status and what is missing: it only makes
the index tell the truth of the files that are there, and what it found before stays in repair_log.json, which is
indexed too. So a repaired bundle loads again, and everybody can see that it is no longer what was committed.

Shapes:  {status: ok or repaired, bundle_dir}; repair_log.v0.1, {bundle_dir, repaired_at_unix, before, after, earlier},
         where before and after are {missing, digest_mismatches} and `earlier` is the log that was there, or null.
Errors:  NotCommitted for a run in progress; StoreConflict for one whose writer is alive; StoreCorrupt when nobody can
         say which run it is. Then nothing is written.
Source:  seed 003, reindex; decision 3.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowbuild.bundle.documents import due, pretty
from flowbuild.bundle.held import Held
from flowbuild.bundle.index import Artifact, Index, index, safe_path, write_index
from flowbuild.bundle.layout import INDEX, REPAIR_LOG, RUN_MANIFEST, is_run_id
from flowbuild.bundle.read import RunBundle, document, final_status, load_bundle, open_bundle_unverified
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadAttribute, StoreConflict, StoreCorrupt
from flowbuild.store.draft import PREFIX
from flowbuild.store.files import atomic_write, flush_directory, refused
from flowbuild.store.journal import now_millis
from flowbuild.store.lock import try_hold

Doc = dict[str, Any]


def reindex_bundle(out_root: Path | str, *, repair: bool = False) -> Doc:
    """Load a bundle strictly; with `repair`, index anew what is there. A whole bundle is left as it is."""
    if not repair:
        return {"status": "ok", "bundle_dir": str(load_bundle(out_root).out_dir)}
    bundle = open_bundle_unverified(out_root)
    where = bundle.out_dir
    if not bundle.faults:
        return {"status": "ok", "bundle_dir": str(where)}
    with Held(where) as held, refused(where):
        descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not try_hold(descriptor):
                raise StoreConflict(f"{where}: its writer is alive", remedy="wait for the run to end")
            return {"status": "repaired", "bundle_dir": str(where), "repair_log": _repair(held, bundle)}
        finally:
            os.close(descriptor)


def _repair(held: Held, bundle: RunBundle) -> Doc:
    """Write the log, then the index that lists it too."""
    found = _indexed_anew(held, bundle)
    log = {
        "schema_version": "runtime-tools.repair_log.v0.1",
        "bundle_dir": str(held.path).encode("utf-8", "backslashreplace").decode(),
        "repaired_at_unix": now_millis() // 1000,
        "before": _state(held, bundle.index),
        "after": _state(held, found),
        "earlier": _earlier(held),
    }
    write_index(found)  # what could not be read back is refused before anything is written
    atomic_write(held.path / REPAIR_LOG, pretty(log), flush=True)
    with Held(held.path) as again:
        logged = again.artifact(REPAIR_LOG)
    listed = [entry for entry in found.artifacts if entry.path != REPAIR_LOG]
    absent = [name for name in found.missing if name != REPAIR_LOG]
    whole = index(found.run_id, found.world_id, [*listed, logged], absent, found.status)
    atomic_write(held.path / INDEX, write_index(whole), flush=True)
    flush_directory(held.path)
    return log


def _earlier(held: Held) -> Doc | None:
    """The log of the repair before this one, where there was one that can be read."""
    try:
        found = document(held, REPAIR_LOG)
        canonical(found)  # what JSON can't say again is not kept
    except (StoreCorrupt, BadAttribute):
        return None
    return found


def _indexed_anew(held: Held, bundle: RunBundle) -> Index:
    """The index as the files are: what is listed and gone is missing, and what was missing stays missing."""
    status = final_status(held)
    old = bundle.index
    if old is None:
        return _index_of_files(held, status)
    if (status.get("run_id"), status.get("world_id")) != (old.run_id, old.world_id):
        raise next(fault for fault in bundle.faults if isinstance(fault, StoreCorrupt))
    artifacts, gone = _present(held, [entry.path for entry in old.artifacts])
    found = index(old.run_id, old.world_id, artifacts, [*old.missing, *gone], old.status)
    return replace(found, status="failed") if status.get("state") == "failed" else found


def _index_of_files(held: Held, status: Doc) -> Index:
    """An index where there was none that can be read: every file, and what the run's plan says should be there."""
    run_id, world_id = status.get("run_id"), status.get("world_id")
    if not isinstance(run_id, str) or not is_run_id(run_id) or not isinstance(world_id, str | None):
        raise StoreCorrupt(f"{held.path}: neither index nor run_status.json says which run this is")
    artifacts, _ = _present(held, [safe_path(path, run_id) for path in _files(held)])
    names = {entry.path for entry in artifacts}
    plan = document(held, "plan.json") if "plan.json" in names else None
    manifest = document(held, RUN_MANIFEST) if RUN_MANIFEST in names else None
    lanes = plan.get("lanes") if plan else None
    if plan is not None and not isinstance(lanes, dict):
        raise StoreCorrupt(f"{held.path / 'plan.json'}: lanes is {lanes!r:.80}")
    missing = [name for name in due(plan or {}, is_dry=(manifest or {}).get("dry_run") is True) if name not in names]
    missing += [name for name in ("plan.json",) if plan is None]
    return index(run_id, world_id, artifacts, missing, "ok" if status.get("state") == "complete" else "failed")


def _present(held: Held, paths: Iterable[str]) -> tuple[list[Artifact], list[str]]:
    """The entries of the files that are there, and the paths of those that are not."""
    artifacts, gone = [], []
    for path in paths:
        try:
            artifacts.append(held.artifact(path))
        except StoreCorrupt:
            gone.append(path)
    return artifacts, gone


def _files(held: Held) -> Iterator[str]:
    """Every regular file of the directory that is no index, no log of repairs and nobody's draft."""
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        for name, kind in held.entries(parent):
            path = f"{parent}/{name}" if parent else name
            if kind == stat.S_IFDIR:
                waiting.append(path)
            elif kind == stat.S_IFREG and path not in (INDEX, REPAIR_LOG) and not name.startswith(PREFIX):
                yield path


def _state(held: Held, found: Index | None) -> Doc:
    """What the log says of a bundle: what is missing, and which files are not what the index says."""
    if found is None:
        return {"missing": [], "digest_mismatches": [], "index": "absent, or not readable"}
    missing, mismatches = set(found.missing), set[str]()
    for entry in found.artifacts:
        try:
            held.check(entry)
        except StoreCorrupt:
            (mismatches if os.path.lexists(held.path / entry.path) else missing).add(entry.path)
    return {"missing": sorted(missing), "digest_mismatches": sorted(mismatches)}
