"""Taking out of a cache what nothing names any more, and looking at all that it holds.

Knows nothing of terminals. Kept is what a record of the memo, a journal, or the last table of a checkout leads to; with
an age, a record that is older counts only if one of the other two names it. Whoever collects is alone in the store: no
build counts on an object meanwhile, and one that begins waits.

Errors:  StoreConflict while a build goes on; DiskRefused.
Source:  DESIGN, section 5: the memo is derived; mark and sweep.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flowbuild.core.canonical import Digest
from flowbuild.run.unfinished import Unfinished
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Memo, Record
from flowbuild.store.reach import named_in, reached
from flowbuild.store.tree import intact

PATIENCE_S = 60.0
_STATE = ".flowbuild"
_JOURNAL = "journal.jsonl"


class Collected(NamedTuple):
    """What was removed, or would be: objects and their bytes, records, drafts of killed writers. `kept` are objects."""

    objects: int
    bytes: int
    records: int
    drafts: int
    kept: int


class Checked(NamedTuple):
    """What a look at every byte found. `lines` are damaged ones of the memo; `lost`, records of what is not there."""

    objects: int
    damaged: tuple[Digest, ...]
    lines: int
    lost: int


def journals(root: Path) -> Iterator[Path]:
    """Every journal of a checkout: of evaluations, of bundles, and of runs that somebody may go on with."""
    yield from sorted((root / _STATE / "runs").glob(f"*/{_JOURNAL}"))
    yield from Unfinished(root).journals()
    for top, names, files in os.walk(root / "out"):
        names.sort()
        if _JOURNAL in files:
            names.clear()
            yield Path(top, _JOURNAL)


def collect(
    cas: Cas, memo: Path, roots: Iterable[Path], *, older_than_s: float | None = None, is_dry: bool = False
) -> Collected:
    """Remove every object that nothing leads to, and every record of what is gone or too old."""
    with cas.use.alone(PATIENCE_S):
        records, wanted = Memo(memo), set[Digest]()
        for root in roots:
            wanted |= named_in(root / _STATE / "last").union(*map(named_in, journals(root)))
        since = None if older_than_s is None else time.time() - older_than_s
        kept = {record.action: record for record in records if _counts(cas, record, wanted, since)}
        for record in kept.values():
            wanted |= {record.action, *(artifact.sha256 for artifact in record.outputs.values())}
        found, objects = reached(cas, wanted), list(cas)
        doomed = [digest for digest in objects if digest not in found]
        size, gone, drafts = sum(_size(cas, digest) for digest in doomed), len(records) - len(kept), 0
        if not is_dry:
            if gone:
                records.compact(lambda record: record.action in kept)
            for digest in doomed:
                cas.discard(digest)
            drafts = cas.sweep()
        return Collected(len(doomed), size, gone, drafts, len(objects) - len(doomed))


def check(cas: Cas, memo: Path, *, is_dry: bool = False) -> Checked:
    """Hash every object, and remove what is damaged, so that it is made anew; records of it too."""
    objects = list(cas)
    suspects = [digest for digest in objects if not cas.verify(digest)]
    records = Memo(memo)
    lost = sum(not _is_backed(cas, record) for record in records)
    found = Checked(len(objects), tuple(suspects), records.damaged, lost)
    cas.use.leave()
    if not (suspects or lost or records.damaged):
        return found
    with cas.use.alone(PATIENCE_S):  # somebody may have healed some meanwhile, and be counting on them
        damaged = tuple(digest for digest in suspects if cas.path(digest).exists() and not cas.verify(digest))
        if not is_dry:
            for digest in damaged:
                cas.discard(digest)
            if memo.exists():
                records.compact(lambda record: _is_backed(cas, record))
    return found._replace(damaged=damaged)


def _counts(cas: Cas, record: Record, wanted: set[Digest], since: float | None) -> bool:
    """Whether a record is worth keeping."""
    if not _is_backed(cas, record):
        return False
    if since is None or record.action in wanted:
        return True
    with suppress(OSError):
        return os.stat(cas.path(record.action)).st_ctime >= since
    return False


def _is_backed(cas: Cas, record: Record) -> bool:
    return all(intact(cas, artifact) for artifact in record.outputs.values())


def _size(cas: Cas, digest: Digest) -> int:
    with suppress(OSError):
        return os.stat(cas.path(digest), follow_symlinks=False).st_size
    return 0
