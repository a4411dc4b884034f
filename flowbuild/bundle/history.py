"""The runs of a workspace: bundles below an output root, and evaluations that committed none.

Knows nothing of terminals. A list reads little of each run, and what it reads of a bundle is checked against its index;
one that is damaged, in progress or was killed is an entry like any other, and says so.

Shapes:  Entry, oldest first. `status` is a bundle's own (`ok`, `partial`, `failed`, `dry`), or `cancelled`,
         `in progress`, `killed`, `damaged`.
Errors:  UnknownName for a run that is not there, BadFlag for a text that several begin with; DiskRefused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.bundle import layout
from flowbuild.bundle.held import Held
from flowbuild.bundle.index import MAX_BYTES, read_index
from flowbuild.core.canonical import Digest
from flowbuild.core.errors import BadFlag, NotCommitted, StoreCorrupt, StoreError, UnknownName
from flowbuild.core.event import RunStatus
from flowbuild.core.label import Label, is_label, parse
from flowbuild.core.suggest import did_you_mean
from flowbuild.run.start import manifest_of
from flowbuild.run.story import Story, account
from flowbuild.run.unfinished import recorded
from flowbuild.store.cas import Cas
from flowbuild.store.journal import is_live, read

Doc = Mapping[str, Any]
Check = Callable[[Path, str], object]
"""Reads the journal of a killed run; `recorded` refuses one that is damaged."""

# What an evaluation that ended is called, in the words of bundles.
_ENDED: Mapping[str, str] = {RunStatus.COMPLETED: "ok", RunStatus.FAILED: "failed", RunStatus.CANCELLED: "cancelled"}
_STATES = {layout.LIVE: "in progress", layout.STALE: "killed"}


class Entry(NamedTuple):
    """One run. `asked` is what its manifest says was asked: label, params, channel, policy, and of a child run its
    parent; empty when not known."""

    run_id: str
    label: str
    path: Path
    is_bundle: bool
    is_latest: bool
    status: str
    started_ms: int | None
    asked: Doc
    problem: str = ""

    @property
    def journal(self) -> Path:
        return self.path / layout.JOURNAL

    @property
    def parent(self) -> str:
        """The id of the run that spawned it; empty for one that somebody asked for."""
        return str((self.asked.get("parent") or {}).get("run_id") or "")

    @property
    def channel(self) -> str:
        return str(self.asked.get("channel") or "")

    @property
    def policy(self) -> str:
        return str(self.asked.get("policy") or "")


def history(root: Path, cas: Cas, out: str = "out", check: Check = recorded) -> list[Entry]:
    """Every run of a workspace, oldest first. A journal without an end is read whole by `check`: all that it is good
    for is that somebody goes on with it."""
    bundles = list(_bundles(root / out, cas, check))
    known = {entry.run_id for entry in bundles}
    evaluations = [entry for entry in _evaluations(root, cas, check) if entry.run_id not in known]
    return sorted([*bundles, *evaluations], key=lambda entry: (entry.started_ms or 0, entry.run_id, entry.path))


def find(text: str, entries: Sequence[Entry], package: str) -> Entry:
    """The run that a text means: an id or the beginning of one, or a label, which is its last one."""
    if is_label(text):
        return _last(parse(text, package).target, entries)
    found = [entry for entry in entries if entry.run_id.startswith(text)] if text else []
    ids = dict.fromkeys(entry.run_id for entry in found)  # somebody may have copied a bundle
    if len(ids) > 1 and text not in ids:
        some = ", ".join(list(ids)[:4])
        raise BadFlag(f"{text!r} is the beginning of {len(ids)} runs", remedy=f"write more of it: {some}")
    if not found:
        known = (
            did_you_mean(text, {entry.run_id[: max(len(text), 8)] for entry in entries})
            or "`flowbuild runs list` lists them"
        )
        raise UnknownName(f"there is no run {text!r}", remedy=known)
    return next((entry for entry in found if entry.run_id == text), found[0])


def _last(label: Label, entries: Sequence[Entry]) -> Entry:
    """The run that a label's LATEST names; of a target without bundles, its last evaluation."""
    mine = [entry for entry in entries if str(label) in entry.label.split(" ")]
    latest = [entry for entry in mine if entry.is_latest]
    evaluations = [entry for entry in mine if not entry.is_bundle]
    if latest or evaluations:
        return (latest or evaluations)[-1]
    if mine:
        raise UnknownName(f"{label} has no committed run", remedy=f"name one by its id, such as {mine[-1].run_id[:8]}")
    known = {name for entry in entries for name in entry.label.split(" ") if name}
    raise UnknownName(f"{label} has no run", remedy=did_you_mean(str(label), known) or "build it first")


def told(entry: Entry) -> Story:
    """Everything that a run's journal tells."""
    return account(read(entry.journal))


def reader(entry: Entry, cas: Cas) -> Callable[[Digest], bytes]:
    """What reads the documents that a run's journal names: from its bundle, else from the store."""
    held = Held(entry.path)  # opened for each, and its names are read once

    def taken(digest: Digest) -> bytes:
        if entry.is_bundle:
            try:
                with held:
                    path = f"{layout.OBJECTS}/{digest}"
                    found = held.artifact(path)
                    if found.sha256 == digest:
                        return held.checked(found)
            except (NotCommitted, StoreCorrupt):
                pass  # a large one is not copied into the bundle
        return cas.read(digest)

    return taken


def _bundles(out: Path, cas: Cas, check: Check) -> Iterator[Entry]:
    for top, names, files in os.walk(out):
        names.sort()
        if Path(top) == out:
            names[:] = [name for name in names if name != "bin"]
        path = Path(top)
        if layout.RUN_STATUS in files and layout.is_run_id(path.name):
            names.clear()
            yield _bundle(path, out, cas, check)


def _bundle(path: Path, out: Path, cas: Cas, check: Check) -> Entry:
    state, problem = layout.state(path), ""
    status, asked = _STATES.get(state, "damaged"), _status_of(path)
    try:
        if state == layout.COMMITTED:
            docs = _checked(path, (layout.SUMMARY, layout.MANIFEST))
            status = str(docs[layout.SUMMARY]["status"])
            asked = dict(docs[layout.MANIFEST]["input_params"]) if layout.MANIFEST in docs else asked
        else:
            asked = _asked(path / layout.JOURNAL, cas) or asked
            check(path / layout.JOURNAL, path.name)
    except (StoreError, ValueError, KeyError, TypeError) as error:
        status, problem = "damaged", str(error) or type(error).__name__
    label = str(asked.get("label") or _label(path.parent.relative_to(out).as_posix()))
    is_latest = state == layout.COMMITTED and layout.latest(path.parent) == path.name
    return Entry(path.name, label, path, True, is_latest, status, _started(path), asked, problem)


def _status_of(path: Path) -> Doc:
    """What a run's status says was asked, while there is nothing better."""
    try:
        return {"channel": json.loads((path / layout.RUN_STATUS).read_bytes()).get("channel")}
    except (OSError, ValueError, AttributeError):
        return {}


def _started(path: Path) -> int | None:
    try:
        return _opening(path / layout.JOURNAL).started_ms
    except StoreError:
        return None


def _checked(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """A few documents of a bundle, each what the index says."""
    with Held(path) as held:
        found = read_index(held.read(layout.INDEX, MAX_BYTES))
        return {entry.path: json.loads(held.checked(entry)) for entry in found.artifacts if entry.path in names}


def _label(directory: str) -> str:
    package, _, name = directory.rpartition("/")
    return str(Label(package, name))


def _evaluations(root: Path, cas: Cas, check: Check) -> Iterator[Entry]:
    home = root / ".flowbuild" / "runs"
    for run in layout.runs(home):
        journal = run.path / layout.JOURNAL
        if journal.is_file():
            yield _evaluation(run.path, journal, cas, check)


def _evaluation(path: Path, journal: Path, cas: Cas, check: Check) -> Entry:
    asked, problem = _asked(journal, cas), ""
    try:
        _opening(journal)
        status = _ENDED.get(_ending(journal) or "") or ("in progress" if is_live(journal) else "killed")
        if status == "killed":
            check(journal, path.name)
    except StoreError as error:
        status, problem = "damaged", str(error)
    label = str(asked.get("label") or "")
    return Entry(path.name, label, path, False, False, status, _started(path), asked, problem)


def _asked(journal: Path, cas: Cas) -> Doc:
    """What the manifest behind a journal says was asked; nothing where that can't be read."""
    try:
        return dict(manifest_of(_opening(journal), cas)["input_params"])
    except (StoreError, TypeError, ValueError):
        return {}


def _opening(journal: Path) -> Story:
    """What a journal's first event tells: who, what and when, without reading the rest."""
    return account(read(journal, 1, 1))


def _ending(journal: Path) -> Any:
    """How a journal ends, in its own word; nothing when it has no end. Only its last line is read."""
    with open(journal, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4096))
        tail = file.read().rstrip(b"\0")
    try:
        kernel = json.loads(tail.rpartition(b"\n")[0].rpartition(b"\n")[2])["event"]["Kernel"]
        return kernel["RunCompleted"]["status"]
    except (ValueError, KeyError, TypeError):
        return None
