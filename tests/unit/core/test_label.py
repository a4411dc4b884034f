"""Labels and patterns: what they say, how they print, what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.errors import BadLabel
from flowbuild.core.label import Label, Pattern, is_label, parse, parse_pattern

NAMES = st.from_regex(r"[A-Za-z0-9_+=,@~-][A-Za-z0-9_+=,@~.-]{0,6}", fullmatch=True)
SEGMENTS = NAMES | st.from_regex(r"[a-z.]{1,3} [a-z]{1,3}", fullmatch=True)
PACKAGES = st.lists(SEGMENTS, max_size=3).map("/".join)
LABELS = st.builds(Label, PACKAGES, NAMES, st.none() | NAMES)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("//a/b:c", Label("a/b", "c")),
        ("//a/b", Label("a/b", "b")),
        ("//:c", Label("", "c")),
        (":c", Label("here", "c")),
        (":c#out", Label("here", "c", "out")),
        ("//a#out", Label("a", "a", "out")),
        ("//a b:c", Label("a b", "c")),
    ],
)
def test_parse(text: str, label: Label) -> None:
    assert parse(text, "here") == label


@pytest.mark.parametrize(
    "text",
    [
        *("", "//", "a", "a:b", "/a:b", "//a:", "//a:b/c", "//a:b:c", "//../a:b", "//./a:b", "//a//b:c", "//a/:b", ":"),
        *("//a:.b", "//a*:b", "//a :b", "// a:b", "//a:b#", "//a:b#c#d", "//a:b#.c", "//a\n:b", "//a:b c", "//é:b"),
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(BadLabel) as caught:
        parse(text, "here")
    assert repr(text) in str(caught.value)


def test_a_relative_label_needs_a_package() -> None:
    with pytest.raises(BadLabel):
        parse(":c")


@given(LABELS)
def test_print_then_parse(label: Label) -> None:
    assert parse(str(label)) == label


@given(st.builds(Pattern, PACKAGES, st.none() | NAMES, st.just(False), st.booleans()))
def test_print_then_parse_a_pattern(pattern: Pattern) -> None:
    if pattern.name == "all":
        pattern = pattern._replace(name=None)
    assert parse_pattern(str(pattern)) == pattern


@given(st.builds(Pattern, PACKAGES, st.none(), st.just(True), st.booleans()))
def test_print_then_parse_a_tree(pattern: Pattern) -> None:
    assert parse_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("text", "hits", "misses"),
    [
        ("//...", ["//a:b", "//:c", "//a/b:c"], []),
        ("//a/...", ["//a:b", "//a/b:c"], ["//ab:c", "//:c", "//b/a:c"]),
        ("//a:all", ["//a:b", "//a"], ["//a/b:c", "//b"]),
        ("//:all", ["//:b"], ["//a:b"]),
        ("//a", ["//a:a"], ["//a:b"]),
        ("-//a:b", ["//a:b"], ["//a:c"]),
    ],
)
def test_a_pattern_matches(text: str, hits: list[str], misses: list[str]) -> None:
    pattern = parse_pattern(text)
    assert [pattern.matches(parse(one)) for one in [*hits, *misses]] == [True] * len(hits) + [False] * len(misses)


def test_a_relative_pattern_belongs_to_where_one_stands() -> None:
    assert parse_pattern(":all", "x/y") == Pattern("x/y")
    assert parse_pattern("-:z", "x/y") == Pattern("x/y", "z", negative=True)


@pytest.mark.parametrize("text", ["//a:b#out", "//a/../...", "...", "--//a", "//..."[:4]])
def test_parse_pattern_refuses(text: str) -> None:
    with pytest.raises(BadLabel):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("//a", True), (":a", True), ("a:b", False), ("/a", False), ("", False)]
)
def test_is_label(text: str, expected: bool) -> None:
    assert is_label(text) is expected


def test_where_a_target_is_shown() -> None:
    assert Label("a/b", "c", "o").directory == "a/b/c"
    assert Label("", "c").directory == "c"
    assert Label("a", "c", "o").target == Label("a", "c")
