"""Which runs of a workspace are worth keeping, and the removal of the others.

Knows nothing of terminals. A run goes only when nothing speaks for it, and whole: it is renamed out of sight first, so
that a removal that is killed leaves no half of a run. Its writer, or whoever goes on with it, holds a lock; what is
held stays.

Shapes:  Verdict: a run, and why it stays; nothing for one that may go.
Errors:  DiskRefused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from flowbuild.bundle import layout
from flowbuild.bundle.history import Entry, told
from flowbuild.bundle.promote import PACKET
from flowbuild.core.errors import StoreError
from flowbuild.core.ids import RunId
from flowbuild.run.unfinished import Unfinished
from flowbuild.store.draft import PREFIX, unique_name
from flowbuild.store.files import Lock, refused, remove_tree
from flowbuild.store.lock import try_hold


class Verdict(NamedTuple):
    """One run, and what speaks for it."""

    entry: Entry
    reason: str

    @property
    def goes(self) -> bool:
        return not self.reason


def verdicts(entries: Sequence[Entry], *, keep: int, before_ms: int | None = None) -> list[Verdict]:
    """What speaks for each of these runs, oldest first: it is one of the newest of its target, or young, or needed."""
    seen, found = Counter[str](), list[Verdict]()
    for entry in reversed(entries):
        seen[entry.label] += 1
        found.append(Verdict(entry, _worth(entry) or _recent(entry, seen[entry.label], keep, before_ms)))
    return _with_children(found[::-1])


def _with_children(found: list[Verdict]) -> list[Verdict]:
    """A run that another one spawned stays as long as that one does."""
    children, todo = set[str](), [one.entry for one in found if not one.goes]
    while todo:
        children.update(_children(todo.pop()))
        todo += [one.entry for one in found if one.goes and one.entry.run_id in children]
        found = [Verdict(e, why or ("spawned by a run that stays" if e.run_id in children else "")) for e, why in found]
    return found


def _children(entry: Entry) -> list[str]:
    try:
        return list(told(entry).children)
    except StoreError:
        return []


def _recent(entry: Entry, rank: int, keep: int, before_ms: int | None) -> str:
    if rank <= keep:
        return f"one of the newest {keep} of its target"
    if before_ms is not None and (entry.started_ms or 0) >= before_ms:
        return "young"
    return ""


def _worth(entry: Entry) -> str:
    """Why a run stays however old it is."""
    if entry.is_latest:
        return "LATEST"
    if entry.status in ("in progress", "damaged"):
        return entry.status
    if entry.is_bundle and _is_promoted(entry):
        return "promoted"
    if entry.status == "killed" and _dealt_outside(entry):
        return "killed, and it asked or changed the outside: `flowbuild runs resume` goes on with it"
    return ""


def _is_promoted(entry: Entry) -> bool:
    with suppress(OSError):
        return entry.run_id.encode() in (entry.path.parent / PACKET).read_bytes()
    return False


def _dealt_outside(entry: Entry) -> bool:
    try:
        found = told(entry)
    except StoreError:
        return True
    return bool(found.facts or found.children) or any(state.deed for state in found.states.values())


def remove(root: Path, entry: Entry) -> bool:
    """Remove a run, with its stage and logs. False when somebody holds it, or it became LATEST meanwhile."""
    with _held(entry) as is_free:
        if not is_free:
            return False
        doomed = entry.path.with_name(unique_name())
        with refused(entry.path):
            os.rename(entry.path, doomed)
        Unfinished(root).clear(RunId(entry.run_id))
    remove_tree(doomed)
    remove_tree(root / ".flowbuild" / "runs" / entry.run_id)
    return True


@contextmanager
def _held(entry: Entry) -> Iterator[bool]:
    """Hold a run as its writer would; whether nobody else does."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    with refused(entry.path):
        descriptor = os.open(entry.path if entry.is_bundle else entry.journal, flags)
    try:
        if not try_hold(descriptor):
            yield False
        elif not entry.is_bundle:
            yield True
        else:
            with Lock(entry.path.parent / layout.LATEST_LOCK):
                yield layout.latest(entry.path.parent) != entry.run_id
    finally:
        os.close(descriptor)


def sweep(entries: Iterable[Entry], root: Path) -> None:
    """Remove what killed removals left."""
    for directory in {root / ".flowbuild" / "runs", *(entry.path.parent for entry in entries)}:
        for path in directory.glob(f"{PREFIX}*"):
            if path.is_dir():
                remove_tree(path)
