"""The join of contexts: in any order and grouping the same.

Seed 001: 001-07, 001-15.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.action import ErrorInfo, Outcome
from flowbuild.core.canonical import EMPTY_CONTEXT, canonical, sha256
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.graph.state import State
from flowbuild.run.context import Context, Contexts, joined, kept, refused, snapshot_of, written
from flowbuild.store.tree import Artifact

VALUES = st.one_of(st.none(), st.sampled_from([b"1", b"2"]))


@st.composite
def histories(draw: st.DrawFn) -> list[Context]:
    """Contexts that came of each other, as those of a graph's states do."""
    found: list[Context] = [{}]
    for number in range(draw(st.integers(1, 6))):
        before = joined(draw(st.lists(st.sampled_from(found), max_size=3)))
        found.append(written(before, number, draw(st.dictionaries(st.sampled_from("kl"), VALUES, max_size=2))))
    return found


@given(histories(), st.data())
def test_a_join_is_the_same_in_any_order_and_grouping(found: list[Context], data: st.DataObject) -> None:
    one, two, three = (data.draw(st.sampled_from(found)) for _ in range(3))
    assert joined([one, two]) == joined([two, one])
    assert joined([one, joined([two, three])]) == joined([joined([one, two]), three])
    assert joined([one, one]) == joined([one]) == one


def test_a_later_write_replaces_what_it_came_after() -> None:
    first = written({}, 0, {"k": b"1"})
    later = written(first, 1, {"k": b"2"})
    assert joined([first, later]) == joined([later, first]) == later
    aside = written({}, 2, {"k": b"3"})
    assert joined([first, later, aside])["k"].live == {1: b"2", 2: b"3"}


def writer(name: str = "w", after: tuple[int, ...] = ()) -> State:
    return State(
        StateId(f"{name}.main.x"), Label("", name), "python", "", {}, {}, {}, {}, after=after, writes=("k", "l")
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"write":{},"delete":1}',
        b'{"write":{"other":1},"delete":[]}',
        b'{"write":[],"delete":[[]]}',
    ],
)
def test_an_artifact_that_holds_no_changes_is_damage(data: bytes) -> None:
    products = {0: {"context": Artifact(sha256(data), len(data))}}
    with pytest.raises(StoreCorrupt):
        Contexts([writer()], lambda _: data).after(0, products)


def test_a_snapshot_is_the_digest_of_all_keys() -> None:
    data = canonical({"write": {"k": [1]}, "delete": []})
    contexts = Contexts([writer()], lambda _: data)
    assert contexts.after(0, {0: {"context": Artifact(sha256(data), len(data))}}) == sha256(b'{"k":[1]}')
    assert list(contexts.snapshots.values()) == [b'{"k":[1]}']


def test_a_failure_keeps_nothing() -> None:
    failed = Outcome(error=ErrorInfo("x", "y"), context={"write": {"k": 1}, "delete": []})

    def steps():  # type: ignore[no-untyped-def]
        yield from ()
        return failed

    with pytest.raises(StopIteration) as end:
        next(kept(("k",), steps(), lambda _: pytest.fail("kept")))
    assert end.value.value is failed


def test_what_a_run_begins_with_is_there_until_somebody_writes() -> None:
    data = canonical({"write": {"k": 2}, "delete": []})
    products = {0: {"context": Artifact(sha256(data), len(data))}}
    reader = State(StateId("r.main.x"), Label("", "r"), "python", "", {}, {}, {}, {}, reads=("k",), initial=("k",))
    contexts = Contexts([writer(), reader], lambda _: data, initial={"k": 1, "l": None})
    assert contexts.snapshots[contexts.initial] == canonical({"k": 1, "l": None})
    assert contexts.base(reader, {}).values == {"k": 1, "l": None}
    assert contexts.base(reader, {}).snapshot == contexts.initial == contexts.final({})
    assert contexts.final(products) == sha256(canonical({"k": 2, "l": None}))
    assert Contexts([reader], lambda _: data).initial == EMPTY_CONTEXT


def test_the_first_key_and_its_first_two_writers_are_to_blame() -> None:
    left = [{"l": 1}, {"k": 1, "l": 2}, {"k": 1}, {"k": 2}]
    data = {sha256(canonical(one)): canonical(one) for one in ({"write": write, "delete": []} for write in left)}
    products = {number: {"context": Artifact(sha, 0)} for number, sha in enumerate(data)}
    passing = [writer("p", after=(3,)), writer("q", after=(2,)), writer("r", after=(0, 1))]
    last = writer("e", after=(4, 5, 6))
    found = Contexts([*map(writer, "abcd"), *passing, last], data.__getitem__).base(
        last, {**products, 4: {}, 5: {}, 6: {}}
    )
    assert found.conflict is not None and found.conflict.code == "context_conflict"
    assert found.conflict.details == {"key": "k", "states": ["b.main.x", "d.main.x"]}
    assert found.values == {}


@pytest.mark.parametrize(
    ("write", "delete", "code"),
    [
        ({"k": {"n": [1, None]}}, ["l"], None),
        ({"other": 1}, [], "context_key_undeclared"),
        ({}, ["other"], "context_key_undeclared"),
        ({"k": [1.0]}, [], "context_serialize_failed"),
        ({"k": 2**60}, [], "context_serialize_failed"),
        ({"k": "\ud800"}, [], "context_serialize_failed"),
        ({"k": {"api_key": 1}}, [], "secrets_detected"),
    ],
)
def test_what_an_engine_says_was_written_is_looked_at(
    write: dict[str, Any], delete: list[str], code: str | None
) -> None:
    error = refused(("k", "l"), {"write": write, "delete": delete})
    assert (error and error.code) == code
    assert error is None or error.category == "Context"


def test_a_snapshot_is_an_object() -> None:
    assert snapshot_of(b'{"k":1}', sha256(b'{"k":1}')) == {"k": 1}
    for data in (b"7", b"[]", b"null"):
        with pytest.raises(StoreCorrupt, match="^context_snapshot_not_object: "):
            snapshot_of(data, sha256(data))
    with pytest.raises(StoreCorrupt, match="^artifact_not_canonical: "):
        snapshot_of(b'{"k": 1}', sha256(b'{"k": 1}'))
