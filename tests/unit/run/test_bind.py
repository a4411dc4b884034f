"""Bind: what is in an action document, what is not, and what moves its key."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from typing import Any

import pytest

from flowbuild.core.action import Action
from flowbuild.core.canonical import Digest, canonical, digest, sha256
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.graph.state import Code, Input, Product, Source, State
from flowbuild.run.bind import bind
from flowbuild.store.tree import Artifact, Entry, listing_bytes

NAMES = "636389633382c6517af0b3c42de3b5d8eb42edd537f1ea9a560c7bf5fed7ba38"
SORT = "26d29d4f3f2a9537f9104b0e496c6110ec266682bfd5f00b312a8fff723ffc00"
ENGINE = {
    "name": "python",
    "version": "1",
    "capabilities": "2b21ca5938bc8182c1126587379eab44e546546d3bdc9d79e61792e902e16ccf",
}


class FixedFacts:
    """A machine whose answers are written down."""

    def __init__(self, sources: Mapping[str, str] | None = None, variables: Mapping[str, str] | None = None) -> None:
        self.sources = {"words/names.txt": NAMES, **(sources or {})}
        self.variables = variables or {}
        self.asked: list[str] = []

    def source(self, path: str) -> tuple[Digest, bool]:
        return Digest(self.sources.get(path, sha256(path.encode()))), path.endswith(".sh")

    def program(self, name: str) -> Mapping[str, Any] | None:
        self.asked.append(name)
        return {"name": name, "sha256": SORT} if name in ("sort", "/bin/sh") else None

    def harness(self) -> Mapping[str, Any]:
        return {"name": "probe", "listing": "h"}

    def variable(self, name: str) -> str | None:
        return self.variables.get(name)

    def code(self, code: Code) -> Mapping[str, Any]:
        return {"source": code.source, "function": code.function}

    def world(self) -> Mapping[str, Any]:
        return {"world_id": "w", "channel": "direct", "isolation": "i"}


SORTED = State(
    id=StateId("words_sorted_c5b9b751.main.command"),
    label=Label("words", "sorted"),
    kind="exec",
    package="words",
    with_={"command": ["sort", "-u", "names.txt", "-o", "../out/bin/words/sorted/sorted.txt"]},
    inputs={"names": Input((Source("words/names.txt"),), False)},
    declared={"sorted": "sorted.txt"},
    outputs={"sorted": "out/bin/words/sorted/sorted.txt"},
    env={"LC_ALL": "C"},
)


def bound(state: State = SORTED, facts: FixedFacts | None = None, **products: Artifact) -> Action:
    return bind(state, {0: products}, ENGINE, facts or FixedFacts())


def test_the_action_of_the_examples() -> None:
    action = bound()
    assert action.key == "5571991abc017105fa9d55ad8f9d9a19ee74f8bbf5738661a350450d36e4e723"
    assert action.doc["inputs"] == {"names": {"path": "words/names.txt", "sha256": NAMES, "executable": False}}
    assert action.doc["program"] == {"name": "sort", "sha256": SORT}


def test_the_key_is_the_documents_digest() -> None:
    action = bound()
    assert action.key == digest(json.loads(canonical(action.doc)))


def test_what_stands_beside_the_document() -> None:
    action = bound(dataclasses.replace(SORTED, timeout_ms=5))
    assert (action.label, action.state_id, action.package) == ("//words:sorted", SORTED.id, "words")
    assert [one.path for one in action.staged] == ["words/names.txt"]
    assert (action.timeout_ms, action.outputs) == (5, SORTED.outputs)
    assert action.key == bound().key


CHANGED = {
    "kind": dataclasses.replace(SORTED, kind="write"),
    "command": dataclasses.replace(SORTED, with_={"command": ["sort", "names.txt"]}),
    "script": dataclasses.replace(SORTED, with_={"script": "sort"}),
    "an input's name": dataclasses.replace(SORTED, inputs={"words": SORTED.inputs["names"]}),
    "an input's path": dataclasses.replace(SORTED, inputs={"names": Input((Source("words/x.txt"),), False)}),
    "one or many": dataclasses.replace(SORTED, inputs={"names": Input((Source("words/names.txt"),), True)}),
    "no input": dataclasses.replace(SORTED, inputs={}),
    "an output": dataclasses.replace(SORTED, declared={"sorted": "other.txt"}),
    "a variable": dataclasses.replace(SORTED, env={"LC_ALL": "C.UTF-8"}),
    "no variable": dataclasses.replace(SORTED, env={}),
    "stage": dataclasses.replace(SORTED, stage=False),
    "host": dataclasses.replace(SORTED, observes_host=True),
    "code": dataclasses.replace(SORTED, code=Code("words/top.py", None, "f")),
}


def test_every_field_moves_the_key() -> None:
    keys = {name: bound(state).key for name, state in CHANGED.items()} | {"nothing": bound().key}
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize("change", [{"name": "proc"}, {"version": "2"}, {"capabilities": "0"}])
def test_another_engine_moves_the_key(change: Mapping[str, str]) -> None:
    assert bind(SORTED, {}, {**ENGINE, **change}, FixedFacts()).key != bound().key


def test_another_content_moves_the_key() -> None:
    assert bound(facts=FixedFacts({"words/names.txt": SORT})).key != bound().key


@pytest.mark.parametrize(
    "change", [{"id": StateId("x.main.y")}, {"label": Label("a", "b")}, {"title": "t"}, {"timeout_ms": 1}]
)
def test_what_changes_no_result_does_not(change: Mapping[str, Any]) -> None:
    assert bound(dataclasses.replace(SORTED, **change)).key == bound().key


def test_a_variable_is_passed_through_only_when_it_is_set() -> None:
    state = dataclasses.replace(SORTED, env={"LC_ALL": None, "EMPTY": None, "MISSING": None})
    action = bound(state, FixedFacts(variables={"LC_ALL": "C", "EMPTY": "", "UNDECLARED": "x"}))
    assert action.doc["with"]["env"] == {"EMPTY": "", "LC_ALL": "C"}


@pytest.mark.parametrize(
    ("with_", "asked"),
    [
        ({"command": ["sort", "x"]}, ["sort"]),
        ({"command": ["/bin/sh", "x"]}, ["/bin/sh"]),
        ({"command": ["tools/mine.sh"]}, []),  # a file of the workspace: an input
        ({"script": "sort x"}, ["/bin/sh"]),
    ],
)
def test_which_program_is_asked_for(with_: Mapping[str, Any], asked: list[str]) -> None:
    facts = FixedFacts()
    bound(dataclasses.replace(SORTED, with_=with_), facts)
    assert facts.asked == asked


def test_a_product_is_known_by_what_it_is() -> None:
    state = dataclasses.replace(SORTED, inputs={"n": Input((Product(0, "o", "out/bin/x/o"),), False)})
    action = bound(state, o=Artifact(Digest(NAMES), 5, True))
    assert action.doc["inputs"]["n"] == {"path": "out/bin/x/o", "sha256": NAMES, "executable": True}
    assert action.staged[0].artifact == {"executable": True, "path": "out/bin/x/o", "sha256": NAMES, "size": 5}


def test_a_directory_is_known_by_its_listing() -> None:
    state = dataclasses.replace(SORTED, inputs={"d": Input((Product(0, "o", "out/bin/x/d/"),), False)})
    action = bound(state, o=Artifact(Digest(NAMES), 5, is_directory=True))
    assert action.doc["inputs"]["d"] == {"path": "out/bin/x/d/", "listing": NAMES}


def test_several_are_known_by_the_listing_of_them() -> None:
    items = (Source("b.txt"), Source("a.sh"), Product(0, "o", "out/bin/x/d/"))
    state = dataclasses.replace(SORTED, inputs={"many": Input(items, True)})
    action = bound(state, o=Artifact(Digest(NAMES), 5, is_directory=True))
    rows = [("a.sh", sha256(b"a.sh"), True), ("b.txt", sha256(b"b.txt"), False), ("out/bin/x/d/", NAMES, False)]
    data = listing_bytes(Entry(path, Digest(sha), executable) for path, sha, executable in rows)
    assert action.listings == (data,)
    assert action.doc["inputs"] == {"many": {"listing": sha256(data)}}
    assert [one.path for one in action.staged] == ["b.txt", "a.sh", "out/bin/x/d/"]


def test_no_files_are_an_empty_listing() -> None:
    action = bound(dataclasses.replace(SORTED, inputs={"many": Input((), True)}))
    assert action.doc["inputs"] == {"many": {"listing": sha256(b"[]")}}


def test_a_handler_and_its_python() -> None:
    code = Code("words/top.py", None, "f", {"tokens": "words/tokens.py"})
    action = bound(dataclasses.replace(SORTED, kind="python", code=code))
    assert action.doc["handler"] == {"source": "words/top.py", "function": "f", "python": platform.python_version()}
    assert [one.path for one in action.staged] == ["words/names.txt", "words/top.py", "words/tokens.py"]
    assert "program" not in action.doc


def test_a_probe_carries_its_harness_and_the_host() -> None:
    action = bound(dataclasses.replace(SORTED, kind="probe", with_={}, observes_host=True))
    assert action.doc["program"] == {"name": "probe", "listing": "h"}
    assert action.doc["world"] == {"world_id": "w", "channel": "direct", "isolation": "i"}
    assert action.doc["with"] == {}
