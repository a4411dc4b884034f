"""Commands are split first and rendered after; scripts get quoted values."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.errors import BadAttribute, BadExpression
from flowbuild.load.words import render_script, render_words, split_words

NAMES = {"inputs": {"a": "a b", "many": ["x y", "z'"], "none": []}, "n": 3, "null": None}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sort -u  x", ["sort", "-u", "x"]),
        ("sort\n  -u\t x\n", ["sort", "-u", "x"]),
        ("a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
        ("a '' b", ["a", "", "b"]),
        ("a ${{ inputs.a | join( ' ' ) }} b", ["a", "${{ inputs.a | join( ' ' ) }}", "b"]),
        ("--x=${{ n }} '${{ inputs.a }} q'", ["--x=${{ n }}", "${{ inputs.a }} q"]),
        ("a # b | c > d", ["a", "#", "b", "|", "c", ">", "d"]),
        ("a\u00a0b", ["a\u00a0b"]),
        ("", []),
    ],
)
def test_split(command: str, words: list[str]) -> None:
    assert split_words(command) == words


@pytest.mark.parametrize("command", ["a 'b", 'a "b', "a \\", "a\0b", "\x000\0"])
def test_what_cannot_be_split(command: str) -> None:
    with pytest.raises(BadAttribute):
        split_words(command)


def test_a_space_in_a_value_makes_no_words() -> None:
    words = split_words("cat ${{ inputs.a }} -n${{ n }} ${{ inputs.many }} ${{ inputs.none }} x${{ inputs.many }}")
    assert render_words(words, NAMES) == ["cat", "a b", "-n3", "x y", "z'", "xx y z'"]


def test_null_is_no_word() -> None:
    with pytest.raises(BadExpression, match="null"):
        render_words(["a", "${{ null }}"], NAMES)


def test_a_script_gets_quoted_values() -> None:
    script = render_script("wc ${{ inputs.many }} ${{ inputs.a }}/p. > $x ${{ n }}", NAMES)
    assert script == "wc 'x y' 'z'\"'\"'' 'a b'/p. > $x 3"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=4))
def test_the_shell_sees_each_value_as_one_word(values: list[str]) -> None:
    script = render_script("printf '%s\\0' start ${{ values }}", {"values": values})
    if len(values) < 3:  # enough shells
        done = subprocess.run(["/bin/sh", "-c", script.encode()], capture_output=True, check=True).stdout
        assert done.decode().split("\0")[1:-1] == values
