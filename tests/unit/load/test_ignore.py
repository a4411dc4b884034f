"""Ignore patterns: gitignore's, with a quick road for plain names that says the same as pathspec."""

from __future__ import annotations

import subprocess
import sys

import pathspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.errors import BadAttribute
from flowbuild.load.ignore import Ignore, check_patterns

names = st.sampled_from(["a", "b", "out", ".git", "__pycache__", "x.txt"])
plain = st.builds(
    lambda deep, name, slash: deep + name + slash, st.sampled_from(["", "**/"]), names, st.sampled_from(["", "/"])
)
paths = st.builds(
    lambda parts, slash: "/".join(parts) + slash, st.lists(names, min_size=1, max_size=4), st.sampled_from(["", "/"])
)


@given(st.lists(plain, max_size=4), paths)
def test_the_quick_road_says_what_pathspec_says(patterns: list[str], path: str) -> None:
    assert Ignore(patterns).matches(path) == pathspec.GitIgnoreSpec.from_lines(patterns).match_file(path)


@pytest.mark.parametrize(
    ("patterns", "path", "matched"),
    [
        (["out/"], "out/", True), (["out/"], "a/out/b", True), (["out/"], "out", False),
        (["/out/"], "a/out/", False), (["*.o"], "a/b.o", True), (["*.o", "!keep.o"], "keep.o", False),
        (["a/*.txt"], "a/x.txt", True), (["a/*.txt"], "b/a/x.txt", False), (["**/x/"], "q/x/", True), ([], "a", False),
        (["drafts/"], "texts/drafts/a", True), (["texts/drafts/"], "texts/drafts/a", True),
    ],
)  # fmt: skip
def test_patterns(patterns: list[str], path: str, matched: bool) -> None:
    assert Ignore(patterns).matches(path) is matched


@pytest.mark.parametrize(
    "pattern", ["", "  ", "!", "\\", "a\\", "[z-a]", "[[:alpha:]]", "[a[b]", "# no", "a\nb", "a\0"]
)
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(BadAttribute):
        check_patterns([pattern])


def test_the_usual_patterns_need_no_pathspec() -> None:
    code = (
        "import sys; from flowbuild.load.ignore import Ignore\n"
        "assert Ignore(['out/', '.git/', '**/__pycache__/']).matches('a/__pycache__/x')\n"
        "sys.exit('pathspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
