"""Explain: what a build would do, and why, without doing it.

Knows nothing of terminals. It binds what can be bound: a state whose inputs are not known, since a state before it
would run, is `may run`; everything else has a key, and the key decides.

Shapes:  one `Verdict` a state, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from flowbuild.core.action import Action
from flowbuild.core.canonical import canonical
from flowbuild.graph.state import State, StateGraph
from flowbuild.run.desk import RunDesk
from flowbuild.run.last import LastTable
from flowbuild.run.why import Change, Why
from flowbuild.store.tree import Artifact

SHOWN = 3  # items that a reason names


class Would(StrEnum):
    """What would happen to a state."""

    REUSE = "would be reused"
    RUN = "would run"
    MAY = "may run"
    SKIP = "would be skipped"


class Verdict(NamedTuple):
    """One state: what would happen, what differs from its last action, and which states it waits for.

    Of a fan-out whose items are known, `items` pairs each item's name with what would happen to its child.
    """

    state: State
    would: Would
    reason: str
    changes: tuple[Change, ...] = ()
    waits_for: tuple[State, ...] = ()
    key: str | None = None
    items: tuple[tuple[str, Would], ...] = ()


def explain(graph: StateGraph, wanted: Sequence[int], desk: RunDesk, last: LastTable, why: Why) -> Iterator[Verdict]:
    """The verdict on each wanted state, in the graph's order."""
    products: dict[int, Mapping[str, Artifact]] = {}
    skipped: set[int] = set()
    for number in wanted:
        state = graph.states[number]
        if number in desk.skipped:
            skipped.add(number)
            yield Verdict(state, Would.SKIP, str(desk.skipped[number]))
            continue
        unknown = sorted({need for need in state.needs if need not in products and need not in skipped})
        if unknown:
            waits = tuple(graph.states[need] for need in unknown)
            names = ", ".join(dict.fromkeys(str(one.label) for one in waits))
            said = f"if the output of {names} changes" if state.fan is None else f"its items are known after {names}"
            yield Verdict(state, Would.MAY, said, waits_for=waits)
            continue
        if not desk.is_selected(state, products):
            skipped.add(number)
            yield Verdict(state, Would.SKIP, "no way that is taken leads to it")
            continue
        action = desk.bind(state, products)
        record = desk.known(state, action)
        if record is not None:
            products[number] = record.outputs
        verdict = _verdict(state, action, record is not None, desk, last, why)
        yield verdict if state.fan is None or verdict.would is Would.REUSE else _planned(verdict, desk)


def _planned(verdict: Verdict, desk: RunDesk) -> Verdict:
    """The verdict on a fan-out, with what would happen to each of its items."""
    children = desk.children(verdict.state)
    items = [(one.name, Would.RUN if desk.known(one.state, one.action) is None else Would.REUSE) for one in children]
    running = [name for name, would in items if would is Would.RUN]
    some = ", ".join(running[:SHOWN]) + (", …" if len(running) > SHOWN else "")
    said = f"{len(running)} of {len(items)} items would run" + (f" ({some})" if some else "")
    return verdict._replace(reason=f"{verdict.reason}; {said}" if items else verdict.reason, items=tuple(items))


def _verdict(state: State, action: Action, is_known: bool, desk: RunDesk, last: LastTable, why: Why) -> Verdict:
    before = last.get(state.id)
    if action.refused is not None:
        return Verdict(state, Would.RUN, f"and fail: {action.refused.message}", key=action.key)
    if is_known:
        return Verdict(state, Would.REUSE, "its action key is remembered", key=action.key)
    if desk.is_forced(state):
        return Verdict(state, Would.RUN, "--force asks for it", key=action.key)
    if action.key in desk.memory.disbelieved:
        return Verdict(state, Would.RUN, "its last result was made in channel direct", key=action.key)
    if action.key in desk.memory.replaced:
        # Another state that runs before it may make the same bytes.
        return Verdict(state, Would.MAY, "an output of its last run is no longer in the store", key=action.key)
    if before is None:
        return Verdict(state, Would.RUN, "never built", key=action.key)
    documents = (*action.listings, *(canonical(one.action.doc) for one in desk.children(state)))
    found = why.compare(before.action, action.doc, documents)
    reason = "its action changed" if found else "its last result was not remembered"
    return Verdict(state, Would.RUN, reason, found, key=action.key)
