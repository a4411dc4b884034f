"""Values of action documents, short enough for a line."""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.front.explain import short, shown
from flowbuild.run.why import Change


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "(none)"),
        ("", ""),
        ("a", "a"),
        ("c" * 64, "cccccccc"),
        ("x" * 64, "x" * 57 + "..."),
        ("a" * 60, "a" * 60),
        ("one\ntwo", "one\\ntwo"),
        (3, "3"),
        (["a", 1], "['a', 1]"),
        (True, "True"),
    ],
)
def test_short(value: Any, text: str) -> None:
    assert short(value) == text


def test_a_change_is_one_line() -> None:
    assert shown(Change("with.script", "a\nb", None)).split() == ["with.script", "a\\nb", "→", "(none)"]
