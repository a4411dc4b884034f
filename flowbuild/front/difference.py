"""`flowbuild runs diff A B`: which answers and outputs changed between two runs, and what explains it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowbuild.bundle import layout
from flowbuild.bundle.difference import Difference, Moved, Side, difference
from flowbuild.bundle.history import Entry, reader, told
from flowbuild.bundle.parting import parting
from flowbuild.bundle.read import load_bundle
from flowbuild.core.errors import NotCommitted
from flowbuild.front.arguments import Request
from flowbuild.front.console import Console, console
from flowbuild.front.explain import shown
from flowbuild.front.history import Runs, when
from flowbuild.front.parting import doc, lines
from flowbuild.front.report import MOST
from flowbuild.run.story import story
from flowbuild.run.why import Change
from flowbuild.store.journal import read


def diff(request: Request, old: str, new: str, first: bool = False) -> int:
    """Print what differs; exit 1 if anything does. With `first`, only the first state where the runs part."""
    out, runs = console(request), Runs(request)
    before, after = runs.find(old), runs.find(new)
    sides = _side(before, runs), _side(after, runs)
    found = difference(*sides)
    if first:
        return _first(out, before, after, found, sides)
    out.emit(_doc(before, after, found))
    if not found.differs:
        out.line(f"no difference: {found.compared} states came to the same from the same actions")
        return 0
    out.line(f"{_name(before)} → {_name(after)}")
    for line in _lines(found, out.verbose):
        out.line(line)
    return 1


def _first(out: Console, before: Entry, after: Entry, found: Difference, sides: tuple[Side, Side]) -> int:
    parted = parting(found, *sides, story(read(before.journal)), story(read(after.journal)))
    out.emit({"old": before.run_id, "new": after.run_id, "first": doc(parted, *sides)})
    if parted is None:
        out.line(f"no state parts: {found.compared} came to the same from the same actions")
        return 0
    out.line(f"{_name(before)} → {_name(after)}")
    for line in lines(parted, *sides):
        out.line(line)
    return 1


def _side(entry: Entry, runs: Runs) -> Side:
    if entry.status in ("in progress", "killed"):
        raise NotCommitted(f"run {entry.run_id} is {entry.status}: it has no end to compare", remedy="choose another")
    expected: dict[str, Any] = {}
    bundle = load_bundle(entry.path) if entry.is_bundle else None
    if bundle is not None and bundle.has(layout.EXPECTED):  # a run of targets expects nothing
        for name, profile in bundle.document(layout.EXPECTED)["profiles"].items():
            expected |= {f"{name}/{probe['name']}": probe["expected"] for probe in profile["probes"]}
    return Side(told(entry), entry.asked, expected, reader(entry, runs.cas))


def _name(entry: Entry) -> str:
    return f"{entry.run_id[:8]} {entry.label} ({when(entry.started_ms)}, {entry.status})"


def _lines(found: Difference, verbose: bool) -> Iterator[str]:
    yield from _changes("options", found.options)
    yield from _changes("expected", found.expected)
    yield from _changes("in every action that changed", found.everywhere)
    yield from _moved("answers", [one for one in found.moved if one.probe], found)
    yield from _moved("outputs", [one for one in found.moved if not one.probe], found)
    for title, states in (("only in the first", found.only_old), ("only in the second", found.only_new)):
        if states:
            yield title
            few = states if verbose else states[:MOST]
            yield from (f"  {one.label or one.state_id}  {one.state_id.rpartition('.')[2]}" for one in few)
            if len(few) < len(states):
                yield f"  ... and {len(states) - len(few)} more: -v lists them"
    if found.unmoved:
        count, noun = len(found.unmoved), "state" if len(found.unmoved) == 1 else "states"
        more = "" if verbose else " (-v lists them)"
        yield f"{count} {noun} came to the same from another action{more}"
        if verbose:
            yield from _moved("", found.unmoved, found)


def _changes(title: str, changes: tuple[Change, ...]) -> Iterator[str]:
    if changes:
        yield title
        yield from (f"  {shown(change)}" for change in changes)


def _moved(title: str, moved: list[Moved] | tuple[Moved, ...], found: Difference) -> Iterator[str]:
    if moved and title:
        yield title
    for one in moved:
        name = one.probe or f"{one.label} {one.state_id.rpartition('.')[2]}"
        yield f"  {name:<40} " + (one.new if one.old == one.new else f"{one.old} → {one.new}")
        yield from (f"    {shown(change)}" for change in one.changes if change not in found.everywhere)
        if one.is_same_action:
            yield "    from the same action: it depends on something that is not in its key"
        elif not one.changes:
            yield "    its action changed; what it was is no longer in the store"


def _doc(old: Entry, new: Entry, found: Difference) -> dict[str, Any]:
    def rows(changes: tuple[Change, ...]) -> list[dict[str, Any]]:
        return [change._asdict() for change in changes]

    def states(moved: tuple[Moved, ...]) -> list[dict[str, Any]]:
        return [one._asdict() | {"changes": rows(one.changes)} for one in moved]

    return {
        "old": old.run_id,
        "new": new.run_id,
        "differs": found.differs,
        "options": rows(found.options),
        "expected": rows(found.expected),
        "answers": states(tuple(one for one in found.moved if one.probe)),
        "outputs": states(tuple(one for one in found.moved if not one.probe)),
        "unmoved": states(found.unmoved),
        "only_old": [one.state_id for one in found.only_old],
        "only_new": [one.state_id for one in found.only_new],
        "compared": found.compared,
    }
