"""Where everything of a run stands on disk: names of files, directories of runs, and what state a run is in.

Knows nothing of what the files say, but for LATEST. Whether a writer is alive is asked of the kernel: it holds a flock
on the run's own directory, which ends with the process, so neither process ids nor ages are believed, and no lock
file is left in the bundle.

Shapes:  `<out_root>/<run_id>/…`, `<out_root>/LATEST` (run id and newline), `<out_root>/.latest.lock`.
         A run is `committed` (it has an index), `live` (its writer holds it) or `stale` (killed, or given up).
Errors:  BadPath for a run id that is no plain name; DiskRefused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from flowbuild.core.errors import BadPath
from flowbuild.store.files import refused
from flowbuild.store.lock import try_hold

RUN_STATUS = "run_status.json"
RUN_MANIFEST = "run_manifest.json"
MANIFEST = "manifest.json"  # seed 001's RunManifest
PREFLIGHT = "apply_preflight.json"
BASELINE_RESULTS = "baseline_results.json"
PATH_WITNESSES = "path_witnesses.json"
FIXTURES = "fixtures.json"
EXPECTED_GENERATED = "expected_matrix.generated.json"
EXPECTED = "expected_matrix.json"
RUNTIME_RESULTS = "runtime_results.json"
EVENTS = "runtime_events.normalized.json"
MISMATCH_SUMMARY = "mismatch_summary.json"
MISMATCH_PACKETS = "mismatch_packets.jsonl"
ORACLE_RESULTS = "oracle_results.json"
SUMMARY = "summary.json"
SUMMARY_TEXT = "summary.md"
SUMMARY_PAGE = "summary.html"
JOURNAL = "journal.jsonl"
OBJECTS = "objects"
INDEX = "artifact_index.json"
REPAIR_LOG = "repair_log.json"
LATEST = "LATEST"
LATEST_LOCK = ".latest.lock"

# The order in which an index lists what it has; everything else follows, by path.
CORE = (
    RUN_STATUS,
    RUN_MANIFEST,
    MANIFEST,
    PREFLIGHT,
    BASELINE_RESULTS,
    PATH_WITNESSES,
    FIXTURES,
    EXPECTED_GENERATED,
    EXPECTED,
    RUNTIME_RESULTS,
    EVENTS,
    MISMATCH_SUMMARY,
    MISMATCH_PACKETS,
    ORACLE_RESULTS,
    SUMMARY,
    SUMMARY_TEXT,
    SUMMARY_PAGE,
    JOURNAL,
)

COMMITTED, LIVE, STALE = "committed", "live", "stale"

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Run(NamedTuple):
    """A run's directory and the state that it is in."""

    run_id: str
    path: Path
    state: str


def is_run_id(name: str) -> bool:
    """Whether a name may be a run's directory. Ours are UUIDs; other writers' need only be plain names."""
    return _RUN_ID.fullmatch(name) is not None and name != LATEST


def bundle_dir(out_root: Path, run_id: str) -> Path:
    """The directory of one run."""
    if not is_run_id(run_id):
        raise BadPath(f"{run_id!r} is not a run id", remedy="a run id is a plain name, such as a UUID")
    return out_root / run_id


def in_order(path: str) -> tuple[int, str]:
    """The sort key of a path in an index."""
    return (CORE.index(path) if path in CORE else len(CORE), path)


def runs(out_root: Path) -> list[Run]:
    """Every run below an output root, by id."""
    with refused(out_root):
        try:
            names = os.listdir(out_root)
        except FileNotFoundError:
            return []
    found = [out_root / name for name in sorted(names) if is_run_id(name)]
    return [Run(path.name, path, state(path)) for path in found if path.is_dir() and not path.is_symlink()]


def state(path: Path) -> str:
    """The state of one run's directory."""
    if (path / INDEX).is_file():
        return COMMITTED
    with refused(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return STALE if try_hold(descriptor, exclusive=False) else LIVE
        finally:
            os.close(descriptor)


def latest(out_root: Path) -> str | None:
    """The run id that LATEST names; None when there is no LATEST, or when it names nothing that could be a run."""
    with refused(out_root / LATEST):
        try:
            descriptor = os.open(
                out_root / LATEST, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            )  # a pipe is not waited for
        except FileNotFoundError:
            return None
        try:
            text = os.read(descriptor, 256).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    return text[:-1] if text.endswith("\n") and is_run_id(text[:-1]) else None


def outside_bundles(path: Path) -> Path:
    """The path, if it lies in no run's directory: what is committed stays as it is."""
    real = Path(os.path.realpath(path))
    for at in (real, *real.parents):
        if any((at / name).is_file() for name in (INDEX, RUN_STATUS)):
            raise BadPath(f"{path} lies in the bundle, which is committed", remedy="write beside the bundle, or --out")
    return path
