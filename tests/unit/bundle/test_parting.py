"""In which order the states of two runs are looked at, to find the first that is not the same."""

from __future__ import annotations

import pytest

from flowbuild.bundle.parting import in_order


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        ("abc", "abc", "abc"),
        ("abc", "bac", "bac"),
        ("abc", "", "abc"),
        ("", "abc", "abc"),
        ("axb", "ab", "axb"),
        ("ab", "axb", "axb"),
        ("axb", "ayb", "ayxb"),
        ("abx", "ab", "abx"),
        ("xab", "ba", "xba"),
    ],
)
def test_what_only_one_run_has_stands_before_what_followed_it(old: str, new: str, order: str) -> None:
    assert "".join(in_order(old, new)) == order
