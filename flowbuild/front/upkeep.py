"""`flowbuild cache stats`, `verify` and `gc`, and `flowbuild runs gc`: what is kept, checked and taken away."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from flowbuild.bundle.retention import remove, sweep, verdicts
from flowbuild.core.errors import StoreCorrupt
from flowbuild.front.arguments import Request
from flowbuild.front.build import start
from flowbuild.front.console import Console, console
from flowbuild.front.history import Runs, chosen, when
from flowbuild.load.workspace import find_root, open_workspace
from flowbuild.run.checkouts import checkouts
from flowbuild.run.collect import check, collect, journals
from flowbuild.run.rebuild import rebuild
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Memo

DAY_S = 86_400


class Cache:
    """The cache that a request is about."""

    def __init__(self, request: Request) -> None:
        self.root = find_root(start(request.directory))
        self.place = open_workspace(self.root).config.cache_dir
        self.cas = Cas(self.place / "cas")
        self.memo = self.place / "memo"
        self.roots = checkouts(self.place, self.root)

    def journals(self) -> Iterator[Path]:
        return chain.from_iterable(map(journals, self.roots))


def stats(request: Request) -> int:
    """Count objects, records and journals."""
    out, cache = console(request), Cache(request)
    sizes = list(_sizes(cache.cas))
    memo, found = Memo(cache.memo), list(cache.journals())
    doc = {
        "cache": str(cache.place),
        "objects": len(sizes),
        "bytes": sum(sizes),
        "records": len(memo),
        "damaged_lines": memo.damaged,
        "journals": len(found),
        "checkouts": [str(root) for root in cache.roots],
    }
    out.emit(doc)
    out.line(f"{cache.place}")
    out.line(f"  {'objects':<10} {len(sizes)}, {_bytes(sum(sizes))}")
    out.line(f"  {'records':<10} {len(memo)}" + (f", {memo.damaged} damaged lines" if memo.damaged else ""))
    out.line(f"  {'journals':<10} {len(found)}")
    for other in cache.roots[1:]:
        out.line(f"  {'shared by':<10} {other}")
    return 0


def verify(request: Request, *, is_dry: bool, rebuilds: bool) -> int:
    """Hash every object; exit 5 if one is damaged."""
    out, cache = console(request), Cache(request)
    found = check(cache.cas, cache.memo, is_dry=is_dry)
    folds = rebuilds and not is_dry and found.objects > 0  # without objects no record would be believed
    known = rebuild(Memo(cache.memo), cache.cas, cache.journals()) if folds else 0
    cache.cas.use.leave()
    for digest in found.damaged:
        out.emit({"damaged": digest, "removed": not is_dry})
        out.line(f"  damaged  {digest}")
    counts = {"objects": found.objects, "damaged": len(found.damaged), "damaged_lines": found.lines}
    out.emit({**counts, "lost": found.lost, "rebuilt": known})
    ending = "" if is_dry else ", and removed" if found.damaged else ""
    out.line(f"{found.objects} objects, {len(found.damaged)} damaged{ending}")
    if found.lines or found.lost:
        out.line(f"the memo: {found.lines} damaged lines, {found.lost} records of what is not there")
    if rebuilds:
        out.line(f"{known} records folded from journals")
    return StoreCorrupt.exit_code if found.damaged or found.lines else 0


def gc(request: Request, *, days: float | None, is_dry: bool) -> int:
    """Remove what nothing names."""
    out, cache = console(request), Cache(request)
    age = None if days is None else days * DAY_S
    found = collect(cache.cas, cache.memo, cache.roots, older_than_s=age, is_dry=is_dry)
    out.emit({**found._asdict(), "dry_run": is_dry})
    word = "would remove" if is_dry else "removed"
    gone = f"{word} {found.objects} objects ({_bytes(found.bytes)}) and {found.records} records"
    out.line(f"{gone}; {found.kept} objects stay")
    return 0


def gc_runs(request: Request, *, keep: int, days: float | None, is_dry: bool) -> int:
    """Remove runs that nothing speaks for."""
    out, runs = console(request), Runs(request)
    wanted = {entry.run_id for entry in chosen(runs, request.patterns)}
    before_ms = None if days is None else round((time.time() - days * DAY_S) * 1000)
    size, count = 0, 0
    for entry, reason in verdicts(runs.entries, keep=keep, before_ms=before_ms):
        goes = not reason and entry.run_id in wanted
        taken = _tree(entry.path) + _tree(runs.root / ".flowbuild/runs" / entry.run_id) * entry.is_bundle if goes else 0
        if goes and not is_dry and not remove(runs.root, entry):
            goes, reason = False, "in progress"
        if goes:
            size, count = size + taken, count + 1
            _tell(out, entry.run_id, f"{when(entry.started_ms)}  {entry.status:<10}  {entry.label}")
        out.emit({"run_id": entry.run_id, "removed": goes, "reason": reason, "target": entry.label})
    if not is_dry:
        sweep(runs.entries, runs.root)
    word = "would remove" if is_dry else "removed"
    out.line(f"{word} {count} of {len(runs.entries)} runs ({_bytes(size)})")
    if count and not is_dry:
        out.line("  `flowbuild cache gc` takes out the objects that only they named")
    return 0


def _tell(out: Console, run_id: str, text: str) -> None:
    out.line(f"  {run_id[:8]}  {text}".rstrip())


def _sizes(cas: Cas) -> Iterator[int]:
    for digest in cas:
        with suppress(OSError):
            yield os.stat(cas.path(digest), follow_symlinks=False).st_size


def _tree(path: Path) -> int:
    """The bytes of all files below a directory."""
    return sum(os.lstat(os.path.join(top, name)).st_size for top, _, names in os.walk(path) for name in names)


def _bytes(size: int) -> str:
    return f"{size} bytes" if size < 10_000 else f"{size / 2**20:.1f} MiB"
