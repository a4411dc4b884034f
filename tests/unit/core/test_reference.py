"""References: what is one, and what it leads to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.reference import Reference, looked_up, parsed, references, replaced


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$input.a", Reference("input", "a", "")),
        ("$input.a.b.c", Reference("input", "a", "b.c")),
        ("$step.read.values", Reference("step", "read", "values")),
        ("$.vars.read.x", Reference("step", "read", "x")),
        ("$.inputs.x", Reference("input", "x", "")),
        *((other, None) for other in ("$input", "input.a", "see $step.a", "", 3, None, ["$step.a"])),
    ],
)
def test_what_is_a_reference(text: Any, found: Reference | None) -> None:
    assert parsed(text) == found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", {"a": [1, {"b": 2}]}),
        ("a.1.b", 2),
        ("a.0", 1),
        ("a.2", None),
        ("a.x", None),
        ("b.c", None),
        ("a.0.x", None),
    ],
)
def test_a_path_leads_somewhere_or_to_null(path: str, value: Any) -> None:
    assert looked_up({"a": [1, {"b": 2}]}, path) == value


def test_references_are_replaced_wherever_they_stand() -> None:
    value = {"x": ["$step.a.n", "$input.k", {"y": "$step.gone"}], "z": "$step.a"}
    assert replaced(value, {"step": {"a": {"n": 1}}}) == {"x": [1, "$input.k", {"y": None}], "z": {"n": 1}}
    assert replaced("$input.k", {"input": {"k": 1}}) == 1
    assert replaced("$input.k", {"input": {}}, later=["k"]) == "$input.k"
    assert [at for _, at in references(value)] == [("x", 0), ("x", 1), ("x", 2, "y"), ("z",)]


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists, max_leaves=20))
def test_what_refers_to_nothing_stays_as_it_is(value: Any) -> None:
    if not list(references(value)):
        assert replaced(value, {"step": {}}) == value
