"""Why: differences of documents, their producers, and a few words for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.canonical import canonical, digest
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.graph.state import Input, Product, Source, State, StateGraph
from flowbuild.run.last import LastTable
from flowbuild.run.why import Change, Why, changes, describe, producers
from flowbuild.store.cas import Cas

LEAVES = st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "a", 0.0, 1.0, 1.5])
DOCS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6
    ),
)


@given(DOCS, DOCS)
def test_no_change_means_one_key_and_one_key_no_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert (changes(old, new) == []) == (digest(old) == digest(new))


@given(DOCS)
def test_nothing_differs_from_itself(doc: dict[str, Any]) -> None:
    assert changes(doc, doc) == []


@given(DOCS, DOCS)
def test_a_change_turned_round(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert changes(new, old) == [Change(field, b, a) for field, a, b in changes(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("a", 1, None), ("b", None, 1)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [("a", [1, 2], [1, 3])]),
        ({"a": True}, {"a": 1}, [("a", True, 1)]),
        ({"a": [True]}, {"a": [1]}, [("a", [True], [1])]),
        ({"a": [1]}, {"a": (1.0,)}, []),
        ({"a": None}, {}, [("a", None, None)]),
        ({"a": {"b": 1}}, {"a": 1}, [("a", {"b": 1}, 1)]),
    ],
)
def test_changes(old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, Any, Any]]) -> None:
    assert changes(old, new) == expected


READER = State(
    StateId("r.main.x"),
    Label("w", "r"),
    "exec",
    "w",
    {},
    {
        "names": Input((Source("w/names.txt"),), False),
        "made": Input((Product(0, "o", "out/bin/m/o"),), False),
        "many": Input((Source("w/a"), Product(1, "o", "out/bin/n/o"), Product(2, "o", "out/bin/p/o")), True),
    },
    {},
    {},
)


@pytest.mark.parametrize(
    ("field", "states"),
    [
        ("inputs.names.sha256", []),
        ("inputs.made.sha256", [0]),
        ("inputs.made", [0]),
        ("inputs.many.listing", [1, 2]),
        ("inputs.many[out/bin/p/o]", [2]),
        ("inputs.many[w/a]", []),
        ("inputs.gone.sha256", []),
        ("with.command", []),
    ],
)
def test_producers(field: str, states: list[int]) -> None:
    assert producers(StateGraph((), {}), READER, field) == states


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (Change("inputs.names.sha256", "a", "b"), "w/names.txt changed"),
        (Change("inputs.made.sha256", "a", "b"), "out/bin/m/o changed"),
        (Change("inputs.many.listing", "a", "b"), "many changed"),
        (Change("inputs.many[w/a]", None, "b"), "w/a is new"),
        (Change("inputs.many[w/a]", "a", None), "w/a is gone"),
        (Change("inputs.old", {}, None), "old is gone"),
        (Change("with.command", [], ["x"]), "command changed"),
        (Change("with.env.LC_ALL", None, "C"), "variable LC_ALL is new"),
        (Change("with.arguments.limit.value", 1, 2), "arguments.limit.value changed"),
        (Change("handler.source", "a", "b"), "handler changed"),
        (Change("handler.modules.w/t.py", "a", None), "module w/t.py is gone"),
        (Change("handler.distributions.numpy.version", "1", "2"), "distribution numpy changed"),
        (Change("handler.python", "3.11.1", "3.11.2"), "Python changed"),
        (Change("program.sha256", "a", "b"), "program changed"),
        (Change("world.channel", "a", "b"), "host changed"),
        (Change("engine.version", "1", "2"), "engine changed"),
        (Change("outputs.o", "a", "b"), "outputs.o changed"),
    ],
)
def test_describe(change: Change, text: str) -> None:
    assert describe(READER, change) == text


@pytest.fixture
def cas(tmp_path: Path) -> Cas:
    return Cas(tmp_path / "cas")


@pytest.fixture
def why(tmp_path: Path, cas: Cas) -> Why:
    return Why(cas, LastTable(tmp_path / "last"), StateGraph((READER,), {}))


def test_a_document_that_is_gone_or_damaged_is_none(why: Why, cas: Cas) -> None:
    assert why.document(None) is None
    assert why.document("0" * 64) is None
    assert why.document(cas.put(b"{")) is None


def test_a_comparison_with_an_unknown_document_is_empty(why: Why, cas: Cas) -> None:
    assert why.compare("0" * 64, {"a": 1}) == ()


def test_listings_are_opened(why: Why, cas: Cas) -> None:
    rows = [{"path": path, "sha256": sha, "executable": False} for path, sha in (("a", "1"), ("b", "2"))]
    old = cas.put(canonical(rows))
    new = cas.put(canonical([{**rows[0], "sha256": "3"}, {**rows[1], "path": "c"}]))
    before = cas.put(canonical({"inputs": {"many": {"listing": old}}}))
    found = why.compare(before, {"inputs": {"many": {"listing": new}}})
    assert found == (
        Change("inputs.many[a]", "1", "3"),
        Change("inputs.many[b]", "2", None),
        Change("inputs.many[c]", None, "2"),
    )
