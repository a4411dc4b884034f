"""What a handler may spawn: targets that it names, each of which it may run whole, as a child of its own run.

Knows nothing of runs. A target that may be spawned is lowered with the one that names it, so it is known before
anything runs; no state of it is waited for.

Errors:  BadAttribute, BadRule, each with the place of the value in its BUILD.yaml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flowbuild.core.errors import BadAttribute, BadRule
from flowbuild.core.label import Label, parse
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import Built, State, StateGraph


def spawns(scope: Scope, value: Any) -> tuple[Label, ...]:
    """The targets that a value of `spawns` names."""
    found: dict[Label, None] = {}
    for place, text in enumerate(value or ()):
        label = parse(text, scope.package).target
        if label not in scope.built:
            raise scope.fault(BadRule(f"rule {scope.rule.name}: `spawns` names {label}, which no attribute names"))
        built = scope.built[label]
        if built.fold is not None or built.members or not (built.states or built.bundle is not None):
            problem = f"{label} performs nothing of its own: its rule is {built.rule}"
            raise scope.fault(BadAttribute(problem, remedy="name what it stands for"), "spawns", place)
        found[label] = None
    return tuple(found)


def check_spawns(scope: Scope, state: State) -> None:
    """Refuse what can't spawn, or would wait for itself."""
    if not state.spawns:
        return
    if state.code is None or state.kind != "python":
        raise scope.fault(BadRule(f"rule {scope.rule.name}: only a state of kind python spawns"), "spawns")
    if "io" not in state.code.doors:
        problem = f"{state.code.function}() does not ask for `io`"
        raise scope.fault(BadAttribute(problem, remedy="give it an argument `io`"), "spawns")
    if state.pool is None:
        return
    for place, label in enumerate(state.spawns):
        if any(scope.states[number].pool == state.pool for number in behind(scope.states, scope.built, [label])):
            problem = f"it holds one of pool {state.pool!r} while it waits for {label}, which needs one too"
            raise scope.fault(BadAttribute(problem, remedy="leave out one of the two pools"), "spawns", place)


def behind(states: Sequence[State], built: Mapping[Label, Built], labels: Iterable[Label]) -> Iterator[int]:
    """The states of runs of these targets: their own, those that they need, and those of what they may spawn."""
    seen: set[int] = set()
    todo = [number for label in labels for number in roots(built, label)]
    while todo:
        number = todo.pop()
        if number not in seen:
            seen.add(number)
            yield number
            todo += states[number].needs
            todo += [one for label in states[number].spawns for one in roots(built, label)]


def roots(built: Mapping[Label, Built], label: Label) -> Iterator[int]:
    """The states that a run of a target is made of, without those that they need."""
    one = built[label]
    yield from StateGraph.roots(one)
    for member in (one.bundle or {}).get("targets", ()):
        yield from roots(built, member)
