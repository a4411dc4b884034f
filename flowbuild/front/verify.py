"""`--policy verify`: what was performed anew beside what it came to last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flowbuild.core.event import StateStatus
from flowbuild.run.last import Last

if TYPE_CHECKING:
    from flowbuild.front.build import Build
    from flowbuild.run.result import Result

EQUAL, DIFFERS, UNKNOWN, CHANGED = "equal", "differs", "unknown", "changed"
WHY = {
    UNKNOWN: "was never built, so there is nothing to compare with",
    CHANGED: "is another action than last time: build it first",
}


def before(build: Build, numbers: Sequence[int]) -> dict[str, Last | None]:
    """What each state came to last, by its id."""
    states = [build.graph.states[number].id for number in numbers]
    return {state_id: build.session.last.get(state_id) for state_id in states}


def compare(build: Build, before: Mapping[str, Last | None], result: Result) -> int:
    """Say which states came to something else than before; 1 if one did, or could not be compared."""
    count = dict.fromkeys((EQUAL, DIFFERS, UNKNOWN, CHANGED), 0)
    for number in result.numbers(StateStatus.COMPLETED):
        state, last = build.graph.states[number], before[build.graph.states[number].id]
        outputs = {name: artifact.sha256 for name, artifact in result.products[number].items()}
        found = _found(last, result.keys[number], outputs)
        count[found] += 1
        apart = {name: (last.outputs.get(name), sha) for name, sha in outputs.items()} if last else {}
        apart = {name: pair for name, pair in apart.items() if found == DIFFERS and pair[0] != pair[1]}
        doc = {name: {"then": then, "now": now} for name, (then, now) in apart.items()}
        build.console.emit({"state": state.id, "label": str(state.label), "found": found, "outputs": doc})
        if found != EQUAL:
            build.console.always(f"  {found:<8} {state.label}  {state.title} {WHY.get(found, '')}".rstrip())
        for name, (then, now) in apart.items():
            build.console.always(f"    {name:<32} {(then or 'none')[:8]} → {(now or 'none')[:8]}")
    said = ", ".join(f"{number} {name}" for name, number in count.items() if number or name == EQUAL)
    build.console.line(f"verified: {said}")
    return 1 if count[DIFFERS] or count[UNKNOWN] or count[CHANGED] else 0


def _found(last: Last | None, action: str, outputs: Mapping[str, str]) -> str:
    if last is None:
        return UNKNOWN
    if last.action != action:
        return CHANGED
    return EQUAL if dict(last.outputs) == dict(outputs) else DIFFERS
