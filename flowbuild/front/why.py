"""`flowbuild why LABEL`: why a target ran last time, or did not, told from the root cause."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flowbuild.front.arguments import Request
from flowbuild.front.build import Build
from flowbuild.front.console import console
from flowbuild.front.explain import shown
from flowbuild.graph.state import Product, State
from flowbuild.run.why import Cause, Why, describe, items, producers

# A cause at the bottom, and the states from there to the one that was asked about.
Root = tuple[Cause, tuple[State, ...]]


def why(request: Request) -> int:
    """Print what is known of each state of the target."""
    out = console(request)
    with Build(request, out) as build:
        numbers = [number for label in build.wanted for number in build.graph.targets[label].states]
        asked = Why(build.session.cas, build.session.last, build.graph)
        for number in numbers:
            state = build.graph.states[number]
            cause = asked.cause(number)
            roots = [(root, way) for root, way in asked.roots(number) if root.state.id != state.id]
            out.emit(_doc(state, cause, roots))
            for line in _lines(build, number, cause, roots):
                out.line(line)
        if not numbers:
            out.line(f"{' '.join(request.patterns)} performs nothing of its own")
    return 0


def _lines(build: Build, number: int, cause: Cause | None, roots: list[Root]) -> list[str]:
    state = build.graph.states[number]
    name = _name(build, state)
    if cause is None:
        return [f"{name} was never built"]
    note = [] if state.stage else ["it runs in place (stage: false): what it reads beyond its inputs is not known"]
    if state.is_inline:
        note.append("it runs inline, in the build's own process: what it sees of that environment is not known")
    return _story(build, state, name, cause, roots) + note


def _story(build: Build, state: State, name: str, cause: Cause, roots: list[Root]) -> list[str]:
    last, day = cause.last, _day(cause.last.ts_millis)
    if not last.performed:
        return [
            f"{name} did not run: its action key {last.action[:8]} was remembered from run {last.run_id[:8]} ({day})."
        ]
    if last.previous is None:
        return [f"{name} ran on {day} (run {last.run_id[:8]}): it was never built before"]
    if not cause.changes:
        why = "although nothing changed: --force asked or another channel, or its last result was not kept or is gone"
        if last.previous != last.action:
            why = "because its action changed; what it was before is no longer in the store"
        return [f"{name} ran on {day} (run {last.run_id[:8]}) {why}"]
    because = "an input changed" if cause.changes[0].field.startswith("inputs.") else describe(state, cause.changes[0])
    lines = [f"{name} ran on {day} (run {last.run_id[:8]}) because {because}:"]
    lines += [f"  {shown(change)}{_origin(build, state, change.field)}" for change in cause.changes]
    return lines + _root_lines(build, roots)


def _origin(build: Build, state: State, field: str) -> str:
    """Where a changed input came from: a file, or an output of a target, by name where it has several."""
    if field.startswith("context."):
        writers = producers(build.graph, state, field)
        return f"      from {build.graph.states[writers[0]].label}" if writers else ""
    found = items(state, field)
    if not found or found[0].path in field:
        return ""
    if not isinstance(found[0], Product):
        return f"      from {found[0].path}"
    label = build.graph.states[found[0].state].label
    outputs = build.graph.targets[label].outputs
    names = [name for name, one in outputs.items() if found[0] in one.items] if len(outputs) > 1 else []
    return f"      from {label}{''.join(f'#{name}' for name in names[:1])}"


def _root_lines(build: Build, roots: list[Root]) -> list[str]:
    lines = []
    if roots:
        lines.append("root cause:")
        for root, _ in roots:
            for change in root.roots:
                origin = _origin(build, root.state, change.field)
                lines.append(f"  {_name(build, root.state)}  {shown(change)}{origin}")
        lines += [f"it followed from there: {_way(way)}" for _, way in roots]
    return lines


def _way(states: tuple[State, ...]) -> str:
    names = list(dict.fromkeys(str(state.label) for state in states))
    if len(names) > 8:
        names[4:-3] = [f"({len(names) - 7} more)"]
    return " → ".join(names)


def _name(build: Build, state: State) -> str:
    alone = len(build.graph.targets[state.label].states) == 1
    return str(state.label) if alone else f"{state.label} ({state.title or state.id.rpartition('.')[2]})"


def _day(ts_millis: int) -> str:
    return datetime.fromtimestamp(ts_millis / 1000).strftime("%d %b %H:%M")


def _doc(state: State, cause: Cause | None, roots: list[Root]) -> dict[str, Any]:
    changes = cause.changes if cause else ()
    return {
        "label": str(state.label),
        "state_id": state.id,
        "ran": bool(cause and cause.last.performed),
        "cause": describe(state, changes[0]) if changes else "never built" if cause is None else None,
        "changes": [change._asdict() for change in changes],
        "root": [{"label": str(root.state.label), **change._asdict()} for root, _ in roots for change in root.roots],
    }
