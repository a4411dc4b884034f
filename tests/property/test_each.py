"""Fan-out under random edits: what a build makes is what a clean one makes, and only items that are new are performed."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from workshop import Workshop, declare

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.engine.engine import Capabilities, Io, Performance, Wait

ITEMS = st.lists(st.one_of(st.integers(0, 6), st.sampled_from("abc"), st.just({"n": 1}), st.none()), max_size=7)


@dataclass
class ItemEngine:
    """Writes an action's item where its output is expected, and remembers each that it performed."""

    performed: list[Any] = field(default_factory=list)
    step_kinds: tuple[str, ...] = ("exec",)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("items", "1", self.step_kinds)

    def perform(self, action: Action, io: Io) -> Performance:
        self.performed.append(action.doc["item"]["value"])
        yield Wait((), 0.0)
        path = io.scratch(action) / "made"
        path.write_bytes(canonical(action.doc["item"]))
        return Outcome({name: io.collect(path) or {} for name in action.outputs})

    def interrupt(self) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """Nothing is kept."""


def written(space: Workshop, items: list[Any], spaces: int) -> None:
    (space.root / "items.json").write_text(json.dumps(items, indent=spaces or None))


def build(space: Workshop) -> tuple[list[Any], list[str]]:
    """What was performed, and what the joined directory holds, in order."""
    engine = ItemEngine()
    space.engine = lambda: engine
    ran = space.make("//:t")
    assert ran.code == 0, ran.out
    return engine.performed, [one.read_text() for one in sorted((space.root / "out/bin/t/o").iterdir())]


def workspace(root: Path) -> Workshop:
    space = Workshop(root)
    space.write("flowbuild.yaml", f"path: [{root}/bin]\n")
    space.write("bin/say", "say\n", executable=True)
    target = {"rule": "exec", "command": "say", "each": {"it": "items.json"}, "outputs": {"o": "o/*"}}
    space.write("BUILD.yaml", declare({"t": target}))
    return space


@settings(deadline=None, max_examples=30)
@given(lists=st.lists(st.tuples(ITEMS, st.integers(0, 2)), min_size=2, max_size=5))
def test_an_edited_list_is_built_as_a_clean_one_and_only_new_items_are_performed(
    lists: list[tuple[list[Any], int]],
) -> None:
    with tempfile.TemporaryDirectory() as place:
        space, known = workspace(Path(place, "space")), set[bytes]()
        for items, spaces in lists:
            written(space, items, spaces)
            performed, made = build(space)
            fresh = {canonical(item) for item in items} - known
            assert sorted(map(canonical, performed)) == sorted(fresh)
            known |= fresh
            assert len(made) == len(items)
        clean = workspace(Path(place, "clean"))
        written(clean, *lists[-1])
        assert build(clean)[1] == made
