"""What looks like a secret, and what does not.

Seed 001: 001-26.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowbuild.core.canonical import canonical
from flowbuild.core.secrets import MARKS, find_secret, is_clear, looks_secret

PHRASE = " ".join(["abandon"] * 11 + ["about"])


@pytest.mark.parametrize("text", ["password=123", "MNEMONIC", "private_key", "seed phrase: ...", "AWS_SECRET_ACCESS_KEY=x", PHRASE, "Authorization: Bearer x", *MARKS])  # fmt: skip
def test_secrets_are_seen(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "artifact_written",
        "seeding_database",
        "bearer",  # without the space it is a word
        " ".join(["abandon"] * 11),
        " ".join(["abandon"] * 25),
        PHRASE.capitalize(),
        PHRASE + ".",
        PHRASE.replace("about", "ab0ut"),
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert not looks_secret(text)


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"a": [1, {"api_key": 3}]}, "/a/1/api_key"),
        ({"a": {"b": "my password"}}, "/a/b"),
        ("token: Bearer x", ""),
        ([None, True, 3, "plain"], None),
        ({"a": {}}, None),
    ],
)
def test_a_value_is_searched_through(value: Any, pointer: str | None) -> None:
    assert find_secret(value) == pointer


PARTS = st.sampled_from(
    [*MARKS, *(mark.upper() for mark in MARKS), " ", "\n", "\u00a0", "\x1c", "k", "\u212a", "a" * 3]
)
TEXTS = st.one_of(
    st.text(max_size=8),
    st.lists(PARTS, max_size=4).map("".join),
    st.tuples(st.sampled_from(" \t\n\u2003"), st.integers(10, 26)).map(lambda of: of[0].join(["abandon"] * of[1])),
)
VALUES = st.recursive(TEXTS | st.integers(0, 99), lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXTS, of))


@given(value=VALUES)
@example(value=PHRASE)
@example(value="\t".join(["abandon"] * 12))
def test_clear_bytes_hold_no_secret(value: Any) -> None:
    if is_clear(canonical(value)):
        assert find_secret(value) is None


@pytest.mark.parametrize("mark", MARKS)
def test_no_mark_is_clear(mark: str) -> None:
    assert not is_clear(canonical({"a": mark})) and not is_clear(canonical({mark.upper(): 1}))


@pytest.mark.parametrize("value", [{"state": "started", "at": "2026-11-21T09:43:01.587Z"}, ["a few words here"], 3, {}])
def test_most_of_what_is_told_is_clear(value: Any) -> None:
    assert is_clear(canonical(value))
