"""Ids: the vectors of seed 001, and slugs that always fit its grammar.

Seed 001: 001-01.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowbuild.core import ids
from flowbuild.core.errors import BadLabel
from flowbuild.core.label import Label, parse


@pytest.mark.parametrize("value", ["a", "a0", "a_0b", "a" * 63])
def test_op_ids(value: str) -> None:
    assert ids.op_id(value) == value


@pytest.mark.parametrize("value", ["", "_a", "A", "a-1", "0a", "a" * 64, "a.b", "a\n", "é"])
def test_what_is_no_op_id(value: str) -> None:
    with pytest.raises(BadLabel, match=r"^invalid op_id: "):
        ids.op_id(value)


def test_op_paths_have_two_segments() -> None:
    assert ids.op_path("machine.main") == "machine.main"
    for value in ("machine", "machine.main.setup"):
        with pytest.raises(BadLabel, match=f"^invalid op_path: {value}$"):
            ids.op_path(value)


def test_state_ids_have_three_segments() -> None:
    assert ids.state_id("machine.main.setup") == "machine.main.setup"


@pytest.mark.parametrize(
    "value", ["machine.main", "machine.main.setup.more", "machine.Main.setup", "machine.main.set-up", "a..b"]
)
def test_what_is_no_state_id(value: str) -> None:
    with pytest.raises(BadLabel) as caught:
        ids.state_id(value)
    assert str(caught.value) == f"invalid state_id: {value}"


def test_run_ids_have_one_spelling() -> None:
    made = ids.new_run_id()
    assert ids.run_id(made.upper()) == made == ids.run_id(made.replace("-", ""))
    with pytest.raises(BadLabel, match="invalid run_id: nope"):
        ids.run_id("nope")


def test_run_ids_are_random_and_differ() -> None:
    made = {ids.new_run_id() for _ in range(100)}
    assert len(made) == 100 and {uuid.UUID(one).version for one in made} == {4}


def test_the_op_of_a_label_is_its_slug_and_its_digest() -> None:
    assert ids.op_of(parse("//words:sorted")) == "words_sorted_c5b9b751"
    assert ids.op_of(parse("//words:sorted#out")) == "words_sorted_c5b9b751"


def test_labels_that_share_a_slug_have_ops_of_their_own() -> None:
    labels = [Label("a/b", "c"), Label("a", "b_c"), Label("a-b", "c"), Label("A/b", "c"), Label("", "a_b_c")]
    assert len({ids.op_of(label) for label in labels}) == len(labels)
    assert {ids.op_of(label)[:5] for label in labels} == {"a_b_c"}


@given(st.text(max_size=80), st.text(min_size=1, max_size=80))
@example("a" * 80, "b")
def test_every_label_has_an_op(package: str, name: str) -> None:
    op = ids.op_of(Label(package, name))
    assert ids.op_id(op) == op


@given(st.text(max_size=80), st.integers(8, 63))
def test_every_text_has_a_slug(text: str, longest: int) -> None:
    made = ids.slug(text, longest)
    assert ids.op_id(made) == made
    assert len(made) <= longest


@pytest.mark.parametrize("check", [ids.op_id, lambda v: ids.slug(v)])
def test_a_segment_is_its_own_slug(check: Callable[[str], str]) -> None:
    assert check("a_0b") == "a_0b"
