"""Canonical JSON: seed 001's vectors, and one form by two encoders.

Seed 001: 001-02.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from flowbuild.core.canonical import EMPTY_CONTEXT, MAX_INTEGER, _is_plain, canonical, digest, sha256
from flowbuild.core.errors import BadAttribute

INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LEAVES = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
DOCS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
PLAIN = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.text(st.characters(max_codepoint=126), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(max_codepoint=126), max_size=8), inner, max_size=4)
    ),
)


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ({}, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        ({"x": 1}, "5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22"),
        ({"b": 1, "a": 2}, "d3626ac30a87e6f7a6428233b3c68299976865fa5508e4267c5415c76af7a772"),
    ],
)
def test_vectors_of_seed_001(doc: Any, expected: str) -> None:
    assert digest(doc) == expected


def test_bytes_of_seed_001() -> None:
    assert sha256(b"hello") == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert digest({}) == EMPTY_CONTEXT


@given(DOCS)
@example({"\U0001f600": 1, "\ufb33": 2})
@example({"\x7f": "\x7f", "a": '\x1f\u2028\\"/'})
@example([MAX_INTEGER, -MAX_INTEGER, 1e21, 1e-7, -0.0, 1.0])
def test_one_form(doc: Any) -> None:
    assert canonical(doc) == rfc8785.dumps(doc)


@given(PLAIN)
def test_the_fast_road_is_taken_and_right(doc: Any) -> None:
    assert _is_plain(doc)
    assert canonical(doc) == rfc8785.dumps(doc)


def test_keys_sort_by_utf16() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


def test_tuples_count_as_lists() -> None:
    assert canonical({"a": (1, ("b",))}) == canonical({"a": [1, ["b"]]}) == b'{"a":[1,["b"]]}'
    assert canonical(("é", (1.5,))) == '["é",[1.5]]'.encode()


@pytest.mark.parametrize(
    "doc",
    [math.nan, math.inf, -math.inf, MAX_INTEGER + 1, -MAX_INTEGER - 1, {1: 2}, "\ud800", {"\udfff": 1}, {1, 2}, b"x"],
)
def test_what_has_no_form_is_refused(doc: Any) -> None:
    with pytest.raises(BadAttribute):
        canonical({"a": [doc]})


def test_what_is_too_deep_is_refused() -> None:
    doc: Any = []
    for _ in range(100_000):
        doc = [doc]
    with pytest.raises(BadAttribute):
        canonical(doc)
