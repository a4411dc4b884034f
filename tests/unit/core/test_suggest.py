"""Did you mean?"""

from __future__ import annotations

import pytest

from flowbuild.core.suggest import did_you_mean, nearest

MANY = [f"word{letter * 5}" for letter in "abcdefghijklm"]


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [("sortd", ["sorted", "stats"], "sorted"), ("zzz", ["sorted"], None), ("x", [], None), ("a", ["a"], "a")],
)
def test_nearest(word: str, known: list[str], expected: str | None) -> None:
    assert nearest(word, known) == expected


def test_a_near_word_is_named() -> None:
    assert did_you_mean("limt", ["limit", "other"]) == "did you mean 'limit'?"


def test_a_short_list_is_shown_sorted_when_nothing_is_near() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "known here: a, b"


def test_a_long_list_is_not_shown() -> None:
    assert did_you_mean("zzz", MANY[:12]).startswith("known here: wordaaaaa, ")
    assert did_you_mean("zzz", MANY) == ""
    assert did_you_mean("zzz", []) == ""


def test_the_answer_does_not_hang_on_the_order() -> None:
    assert did_you_mean("ab", ["aa", "bb"]) == did_you_mean("ab", ["bb", "aa"])
