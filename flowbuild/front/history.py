"""`flowbuild runs list` and `show`: the runs of a workspace, and one of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from flowbuild.bundle import layout
from flowbuild.bundle.history import Check, Entry, find, history, reader, told
from flowbuild.bundle.read import RunBundle, load_bundle
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.label import parse_pattern
from flowbuild.front.arguments import Request
from flowbuild.front.build import start
from flowbuild.front.console import Console, console
from flowbuild.front.report import MOST
from flowbuild.load.workspace import find_root, open_workspace
from flowbuild.run.story import FAILED, HOW, PERFORMED, Story, Told
from flowbuild.run.unfinished import recorded
from flowbuild.run.why import Documents
from flowbuild.store.cas import Cas


class Runs:
    """The runs that a request is about."""

    def __init__(self, request: Request, check: Check = recorded) -> None:
        self.here = start(request.directory)
        self.root = find_root(self.here)
        self.cas = Cas(open_workspace(self.root).config.cache_dir / "cas")
        self.entries = history(self.root, self.cas, request.out or "out", check)

    @property
    def package(self) -> str:
        """The package that relative labels belong to."""
        below = self.here.relative_to(self.root).as_posix()
        return "" if below == "." else below

    def find(self, text: str) -> Entry:
        """The run that somebody means."""
        return find(text, self.entries, self.package)

    def way(self, path: Path) -> str:
        """A path from the workspace root."""
        return os.path.relpath(path, self.root)


def list_(request: Request) -> int:
    """Print one line a run, oldest first."""
    out, runs = console(request), Runs(request)
    entries = list(chosen(runs, request.patterns))
    for entry in entries:
        out.emit(_doc(entry, runs))
    wide = {"status": max((len(entry.status) for entry in entries), default=0)}
    wide["channel"] = max((len(entry.channel) for entry in entries), default=0)
    wide["policy"] = max((len(entry.policy) for entry in entries), default=0)
    for entry in entries:
        mark, name = "*" if entry.is_latest else " ", entry.run_id if out.verbose else entry.run_id[:8]
        columns = "  ".join(f"{getattr(entry, key):<{width}}" for key, width in wide.items())
        whose = f"  child of {entry.parent if out.verbose else entry.parent[:8]}" if entry.parent else ""
        out.line(f"{mark} {name}  {when(entry.started_ms):<19}  {columns}  {entry.label}{whose}".rstrip())
    if not entries:
        out.line("no runs")
    return 0


def chosen(runs: Runs, patterns: Sequence[str]) -> Iterator[Entry]:
    """The runs of the targets that are asked for; all without a pattern."""
    wanted = [parse_pattern(text, runs.package) for text in patterns]
    for entry in runs.entries:
        labels = [parse_pattern(text) for text in entry.label.split(" ") if text.startswith("//")]
        if not wanted or any(_covers(pattern, label) for pattern in wanted for label in labels):
            yield entry


def _covers(pattern: Any, label: Any) -> bool:
    if label.name is None or pattern.negative:
        return bool(pattern == label)
    return bool(pattern.matches(label))


def show(request: Request, text: str) -> int:
    """Print one run."""
    out, runs = console(request), Runs(request)
    entry = runs.find(text)
    if entry.status == "damaged" and not (entry.path / layout.INDEX).is_file():
        raise StoreCorrupt(entry.problem)
    bundle = load_bundle(entry.path) if entry.is_bundle and entry.status not in ("in progress", "killed") else None
    found = told(entry)
    mismatches = _mismatches(bundle) if bundle else []
    children = found.children.values()
    is_inline = _inline(Documents(reader(entry, runs.cas)))
    doc = _doc(entry, runs) | {
        "states": {how: [_state(one, is_inline) for one in found.of(how)] for how in HOW} if out.as_json else {},
        "params": entry.asked.get("params") or {},
        "mismatches": mismatches,
        "children": [child._asdict() for child in children],
        "took_ms": _took(found),
    }
    out.emit(doc)
    for line in _lines(entry, found, bundle):
        out.line(line)
    for child in children:
        out.line(
            f"  {'child':<10} {child.label}  run {child.run_id[:8]}  {child.status or 'its end is not known here'}"
        )
    _show_states(out, found, is_inline)
    for row in mismatches[: None if out.verbose else MOST]:
        said = f"{row.get('expectation_id')}: expected {row.get('expected')}, seen {row.get('actual') or 'blocked'}"
        out.line(f"  {'mismatch':<10} {said} ({row.get('violation_summary') or row.get('mismatch_type')})")
    _more(out, len(mismatches), "mismatches")
    return StoreCorrupt.exit_code if found.fault else 0


def _mismatches(bundle: RunBundle) -> list[dict[str, Any]]:
    """The mismatches that a bundle of a plan tells of: other writers' documents may lack some fields, or all."""
    doc = bundle.document(layout.MISMATCH_SUMMARY) if bundle.has(layout.MISMATCH_SUMMARY) else None
    rows = doc.get("mismatches") if isinstance(doc, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _lines(entry: Entry, found: Story, bundle: RunBundle | None) -> Iterator[str]:
    counts = ", ".join(f"{len(found.of(how))} {how}" for how in HOW if found.of(how) or how in (PERFORMED, FAILED))
    took = _took(found)
    yield f"run {entry.run_id}" + ("  (LATEST)" if entry.is_latest else "")
    yield f"  {'target':<10} {entry.label or found.op_id or 'not known any more'}"
    yield f"  {'status':<10} {entry.status}" + (f": {entry.problem}" if entry.problem else "")
    yield f"  {'when':<10} {when(entry.started_ms)}" + (f", took {took / 1000:.2f} s" if took is not None else "")
    yield f"  {'asked':<10} channel {entry.channel or '?'}, policy {entry.policy or '?'}"
    if entry.parent:
        yield f"  {'parent':<10} run {entry.parent}"
    for name, value in sorted((entry.asked.get("params") or {}).items()):
        yield f"  {'param':<10} {name}={json.dumps(value)}"
    yield f"  {'states':<10} {counts}"
    yield f"  {'path':<10} {os.path.relpath(entry.path)}"
    if bundle is not None:
        yield f"  {'summary':<10} {os.path.relpath(entry.path / layout.SUMMARY_TEXT)}"


def _inline(documents: Documents) -> Callable[[Told], bool]:
    """Tells whether a state's handler was called in the build's own process, as its action says, or those of its
    items."""

    def is_inline(state: Told) -> bool:
        key, item = next(iter(state.items.items()), (state.action, None))
        noted = state.document if item is None else item.document  # the key of a deed is that of a shorter document
        doc = documents.document(noted["sha256"] if noted else key)
        with_ = doc.get("with") if doc is not None else None
        return isinstance(with_, dict) and with_.get("inline") is True

    return is_inline


def _show_states(out: Console, found: Story, is_inline: Callable[[Told], bool]) -> None:
    for how in (FAILED, PERFORMED) if out.verbose else (FAILED,):
        for one in found.of(how):
            why = str((one.error or {}).get("message") or "").partition("\n")[0]
            name = f"{one.state_id.rpartition('.')[2]}{', inline' if is_inline(one) else ''}"
            out.line(f"  {how:<10} {one.label or one.state_id}  {name}  {why}".rstrip())
            _show_items(out, one)


def _show_items(out: Console, state: Told) -> None:
    """How many items a state had; each that failed, or with --verbose every one."""
    counts = Counter(item.how for item in state.items.values())
    if counts:
        out.line(f"    {len(state.items)} items: {', '.join(f'{counts[how]} {how}' for how in HOW if counts[how])}")
    for item in state.items.values():
        if item.how == FAILED or out.verbose:
            why = str((item.error or {}).get("message") or "").partition("\n")[0]
            out.line(f"    {item.how:<10} item {item.item}  {why}".rstrip())


def _more(out: Console, count: int, what: str) -> None:
    if count > MOST and not out.verbose:
        out.line(f"  ... and {count - MOST} more {what}: -v lists them")


def _took(found: Story) -> int | None:
    if found.started_ms is None or found.last_ms is None or found.status is None:
        return None
    return found.last_ms - found.started_ms


def _state(one: Told, is_inline: Callable[[Told], bool]) -> dict[str, Any]:
    doc = {"state_id": one.state_id, "label": one.label, "action": one.action, "outputs": dict(one.outputs)}
    items = [{name: value for name, value in item._asdict().items() if value} for item in one.items.values()]
    how = {"inline": True} if is_inline(one) else {}
    return doc | how | ({"error": one.error} if one.error else {}) | ({"items": items} if items else {})


def _doc(entry: Entry, runs: Runs) -> dict[str, Any]:
    return {
        "run_id": entry.run_id,
        "target": entry.label,
        "kind": "bundle" if entry.is_bundle else "evaluation",
        "status": entry.status,
        "started_ms": entry.started_ms,
        "channel": entry.channel or None,
        "policy": entry.policy or None,
        "latest": entry.is_latest,
        "path": runs.way(entry.path),
        **({"parent": entry.parent} if entry.parent else {}),
        **({"problem": entry.problem} if entry.problem else {}),
    }


def when(started_ms: int | None) -> str:
    """When a run began, in the time of this host."""
    try:
        return datetime.fromtimestamp((started_ms or 0) / 1000).strftime("%Y-%m-%d %H:%M:%S") if started_ms else "?"
    except (OSError, OverflowError, ValueError):  # a journal may say any number
        return "?"
