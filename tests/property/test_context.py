"""The oracle of contexts: what a state sees is the join of what it needs, whatever the number of jobs.

The model keeps, of each key, every write that no later write on a path has replaced. Two that differ are a conflict.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from workshop import Workshop

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import digest
from flowbuild.core.event import StateCompleted, StateEntered, StateFailed
from flowbuild.engine.engine import Capabilities, Io, Performance, Wait
from flowbuild.testing import ScriptedEngine

KEYS = ("a", "b.c")


@dataclass(frozen=True)
class Node:
    """One target: what it needs, what it reads, and what it does: a number is written, None deletes."""

    needs: tuple[int, ...]
    does: Mapping[str, int | None]


class ContextEngine(ScriptedEngine):
    """Does what the target's `with` says to the context, later for those that the test wants late."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("context", "1", ("python",))

    def perform(self, action: Action, io: Io) -> Performance:
        self.performed.append(action.label)
        plan = action.with_["arguments"]["plan"]["value"]
        for _ in range(plan["turns"]):
            yield Wait((), 0.0)  # comes back at once, after the others had their turn
        made = io.scratch(action) / "o"
        made.write_text(json.dumps(dict(action.context), sort_keys=True))
        collected = io.collect(made)
        assert collected is not None
        changes = {
            "write": {key: value for key, value in plan["does"].items() if value is not None},
            "delete": [key for key, value in plan["does"].items() if value is None],
        }
        return Outcome({"o": collected}, context=changes)


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    size = draw(st.integers(1, 6))
    change = st.one_of(st.none(), st.integers(0, 1))
    return [
        Node(
            tuple(draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else ()),
            draw(st.dictionaries(st.sampled_from(KEYS), change, max_size=2)),
        )
        for n in range(size)
    ]


def behind(nodes: list[Node], number: int) -> set[int]:
    """All that a node needs, in the end."""
    return {one for need in nodes[number].needs for one in {need, *behind(nodes, need)}}


def seen(nodes: list[Node], number: int) -> dict[str, set[int | None]]:
    """What a node finds under each key: the writes before it that no other write before it came after."""
    found: dict[str, set[int | None]] = {}
    for key in KEYS:
        writers = {one for one in behind(nodes, number) if key in nodes[one].does}
        last = {one for one in writers if not any(one in behind(nodes, other) for other in writers)}
        if last:
            found[key] = {nodes[one].does[key] for one in last}
    return found


def model(nodes: list[Node]) -> dict[int, dict[str, int] | None]:
    """What each node begins with; None for a conflict. What follows on a conflict is never begun."""
    result: dict[int, dict[str, int] | None] = {}
    for number in range(len(nodes)):
        if any(result.get(need) is None for need in nodes[number].needs):
            continue
        found = seen(nodes, number)
        values = {key: next(iter(some)) for key, some in found.items()}
        conflict = any(len(some) > 1 for some in found.values())
        result[number] = None if conflict else {key: value for key, value in values.items() if value is not None}
    return result


def write(space: Workshop, nodes: list[Node], turns: list[int]) -> None:
    targets: dict[str, Any] = {}
    for number, node in enumerate(nodes):
        known = sorted({key for one in behind(nodes, number) for key in nodes[one].does})
        targets[f"t{number}"] = {
            "rule": "python",
            "handler": "h.py:handler" if known or node.does else "h.py:plain",
            "outputs": {"o": "o"},
            "after": [f":t{need}" for need in node.needs],
            "reads": known,
            "writes": list(node.does),
            "with": {"plan": {"does": node.does, "turns": turns[number % len(turns)]}},
        }
    space.write("BUILD.yaml", json.dumps({"targets": targets}))
    space.write("h.py", "def handler(o, plan, context): ...\ndef plain(o, plan): ...\n")


def told(space: Workshop, jobs: int) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """What the events say of each state, whatever their order; and the files that were made."""
    made = space.make("//...", "-j", str(jobs), "--json", "--continue", "dependencies-successful")
    found: dict[str, list[Any]] = {}
    for event in made.events:
        if isinstance(event, StateEntered):
            found.setdefault(event.state_id.partition("_")[0], []).append(event.base_snapshot_id)
        elif isinstance(event, StateCompleted):
            found[event.state_id.partition("_")[0]].append(event.context_snapshot_id)
        elif isinstance(event, StateFailed):
            found[event.state_id.partition("_")[0]].append(event.error["info"])
    out = space.root / "out/bin"
    return found, {path.parent.name: path.read_text() for path in out.rglob("o")}


@settings(max_examples=60, deadline=None)
@given(graphs(), st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_jobs_change_nothing_and_the_model_agrees(nodes: list[Node], turns: list[int]) -> None:
    with tempfile.TemporaryDirectory() as place:
        spaces = [Workshop(Path(place) / name, ContextEngine) for name in ("one", "many")]
        results = []
        for space, jobs in zip(spaces, (1, 8), strict=True):
            write(space, nodes, turns)
            results.append(told(space, jobs))
        assert results[0] == results[1]
        states, files = results[0]
        expected = model(nodes)
        assert states.keys() == {f"t{number}" for number in expected}
        for number, base in expected.items():
            entered, ended = states[f"t{number}"]
            if base is None:
                assert ended["code"] == "context_conflict"
                continue
            after = {**base, **nodes[number].does}
            assert entered == digest(base)
            assert ended == digest({key: value for key, value in after.items() if value is not None})
            assert json.loads(files[f"t{number}"]) == base
        again = told(spaces[0], 8)  # remembered, but for what failed: the changes are replayed
        assert again == results[0]
        assert spaces[0].make("//...").performed == []
