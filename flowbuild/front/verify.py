"""`--policy verify`: what was performed anew beside what it came to last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flowbuild.bundle.history import find
from flowbuild.core.errors import FlowError
from flowbuild.core.event import StateStatus
from flowbuild.graph.state import State
from flowbuild.run.last import Last
from flowbuild.run.story import story
from flowbuild.store.journal import read

if TYPE_CHECKING:
    from flowbuild.front.build import Build
    from flowbuild.run.result import Result

EQUAL, DIFFERS, CHANGED, UNKNOWN, UNVERIFIED = "equal", "differs", "changed", "unknown", "unverified"
WHY = {
    UNKNOWN: "was never built, so there is nothing to compare with",
    CHANGED: "is another action than last time: build it first",
    UNVERIFIED: "is not done again to compare; what it came to stands",
}


class Found(NamedTuple):
    """One state beside its last time. `root` is the state whose difference this one's follows from."""

    kind: str
    root: State | None
    outputs: Mapping[str, tuple[str | None, str | None]]


def before(build: Build, numbers: Sequence[int]) -> dict[str, Last | None]:
    """What each state came to last, by its id."""
    states = [build.graph.states[number].id for number in numbers]
    return {state_id: build.session.last.get(state_id) for state_id in states}


def compare(build: Build, before: Mapping[str, Last | None], result: Result, run_id: str) -> int:
    """Say which states came to something else than before; 1 if one did, or could not be compared."""
    found: dict[int, Found] = {}
    for number in sorted(result.status):
        state = build.graph.states[number]
        one = _found(state, before[state.id], number, result, found)
        if one is not None:
            found[number] = one
            _show(build, state, one)
    kinds = [one.kind for one in found.values()]
    order = (EQUAL, DIFFERS, CHANGED, UNKNOWN, UNVERIFIED)
    said = ", ".join(f"{kinds.count(kind)} {kind}" for kind in order if kind in kinds or kind == EQUAL)
    build.console.line(f"verified: {said}")
    first = next((build.graph.states[number] for number, one in found.items() if one.kind == DIFFERS), None)
    if first is not None:
        _point(build, first, before[first.id], run_id)
    return 1 if {DIFFERS, UNKNOWN, CHANGED} & {*kinds} else 0


def _found(state: State, last: Last | None, number: int, result: Result, others: Mapping[int, Found]) -> Found | None:
    """What a state is beside its last time; None for one that was not performed."""
    if result.status[number] in (StateStatus.REUSED, StateStatus.COMPLETED) and state.applies:  # a join of what stands
        return Found(UNVERIFIED, None, {})
    if result.status[number] is not StateStatus.COMPLETED:
        return None
    if last is None:
        return Found(UNKNOWN, None, {})
    if last.action != result.keys[number]:
        roots = (others[need].root for need in state.needs if need in others)
        return Found(CHANGED, next((root for root in roots if root), None), {})
    now = {name: artifact.sha256 for name, artifact in result.products[number].items()}
    names = sorted({*now, *last.outputs})
    apart = {name: (last.outputs.get(name), now.get(name)) for name in names if last.outputs.get(name) != now.get(name)}
    return Found(DIFFERS, state, apart) if apart else Found(EQUAL, None, {})


def _show(build: Build, state: State, one: Found) -> None:
    doc = {name: {"then": then, "now": now} for name, (then, now) in one.outputs.items()}
    build.console.emit({"state": state.id, "label": str(state.label), "found": one.kind, "outputs": doc})
    if one.kind == EQUAL:
        return
    why = f"since {one.root.label} differs" if one.kind == CHANGED and one.root else WHY.get(one.kind, "")
    build.console.always(f"  {one.kind:<10} {state.label}  {state.title} {why}".rstrip())
    for name, (then, now) in one.outputs.items():
        build.console.always(f"    {name:<32} {(then or 'none')[:8]} → {(now or 'none')[:8]}")


def _point(build: Build, first: State, last: Last | None, run_id: str) -> None:
    """Name the event that says otherwise, and how to see both sides."""
    from flowbuild.front.history import Runs

    assert last is not None, "what differs was there before"
    try:
        entry = find(last.run_id, Runs(build.request).entries, "")
        told = story(read(entry.journal)).states.get(first.id)
    except FlowError:  # the run is gone
        return
    if told is None or told.said is None:
        return
    seq, name = told.said
    build.console.emit({"first": first.id, "run": last.run_id, "event": {"seq": seq, "name": name}})
    build.console.line(f"first apart: {first.label}, event {seq} ({name}) of {last.run_id[:8]}")
    build.console.line(f"  flowbuild runs diff {last.run_id[:8]} {run_id[:8]} --first   shows both sides")
