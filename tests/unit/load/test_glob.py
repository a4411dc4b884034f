"""Globs on a real tree."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowbuild.core.errors import BadAttribute, BadPath, DiskRefused
from flowbuild.load.glob import check_glob, expand
from flowbuild.load.ignore import Ignore

FILES = [
    "p/BUILD.yaml", "p/a.txt", "p/b.md", "p/.hidden.txt", "p/texts/one.txt", "p/texts/deep/two.txt",
    "p/texts/deep/er/three.txt",
    "p/texts/drafts/d.txt", "p/sub/BUILD.yaml", "p/sub/other.txt", "p/nested/flowbuild.yaml", "p/nested/n.txt",
    "p/out/o.txt", "out/bin/x.txt", ".flowbuild/memo.txt", "top.txt", "p/skipped/s.txt",
]  # fmt: skip

Find = Callable[..., list[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for file in FILES:
        path = tmp_path / "w" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "w"


@pytest.fixture
def visits() -> list[str]:
    return []


@pytest.fixture
def find(root: Path, visits: list[str]) -> Iterator[Find]:
    def found(*globs: str, exclude: tuple[str, ...] = (), package: str = "p") -> list[str]:
        return expand(root, package, globs, exclude, Ignore(["skipped/"]), visits.append)

    yield found


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.txt", [".hidden.txt", "a.txt"]),
        ("a.txt", ["a.txt"]),
        ("?.txt", ["a.txt"]),
        ("[ab].*", ["a.txt", "b.md"]),
        ("[!b].*", ["a.txt"]),
        ("texts/*.txt", ["texts/one.txt"]),
        ("texts/**/*.txt", ["texts/deep/er/three.txt", "texts/deep/two.txt", "texts/drafts/d.txt", "texts/one.txt"]),
        ("texts/**", ["texts/deep/er/three.txt", "texts/deep/two.txt", "texts/drafts/d.txt", "texts/one.txt"]),
        ("**/two.txt", ["texts/deep/two.txt"]),
        ("**/deep/**/*.txt", ["texts/deep/er/three.txt", "texts/deep/two.txt"]),
        ("texts/*/two.txt", ["texts/deep/two.txt"]),
        ("texts", []),
        ("sub/*", []),
        ("nested/*", []),
        ("skipped/*", []),
        ("out/*", ["out/o.txt"]),
        ("*.yaml", []),
        ("A.TXT", []),
    ],
)
def test_what_a_glob_finds(find: Find, glob: str, found: list[str]) -> None:
    assert find(glob) == [f"p/{name}" for name in found]


def test_at_the_root_what_flowbuild_writes_is_left_out(find: Find) -> None:
    assert find("**/*.txt", package="") == ["top.txt"]


def test_several_globs_find_a_file_once(find: Find) -> None:
    assert find("*.txt", "a.*", "b.md") == ["p/.hidden.txt", "p/a.txt", "p/b.md"]


def test_excluded(find: Find) -> None:
    assert find("texts/**", exclude=("texts/drafts/", "t*.txt")) == ["p/texts/one.txt"]


def test_every_directory_that_decided_is_told(find: Find, visits: list[str]) -> None:
    find("texts/**/*.txt", exclude=("texts/drafts/",))
    assert sorted(visits) == ["p", "p/texts", "p/texts/deep", "p/texts/deep/er"]


def test_a_directory_that_is_not_there_is_told_by_the_one_above(find: Find, visits: list[str]) -> None:
    assert find("later/*.txt") == [] and visits == ["p"]


def test_a_directory_that_stops_a_glob_is_told(find: Find, visits: list[str]) -> None:
    find("sub/*")
    assert visits == ["p", "p/sub"]


def test_links(root: Path, find: Find) -> None:
    (root / "p/inside.lnk").symlink_to("a.txt")
    (root / "p/other.lnk").symlink_to("../top.txt")
    (root / "p/nothing.lnk").symlink_to("not-there")
    (root / "p/directory.lnk").symlink_to("texts")
    assert find("*.lnk", "directory.lnk/*", "**/one.txt") == ["p/inside.lnk", "p/other.lnk", "p/texts/one.txt"]


@pytest.mark.parametrize("target", ["/etc/hostname", "../../outside.txt"])
def test_a_link_that_leaves_the_workspace_is_refused(root: Path, find: Find, target: str) -> None:
    (root.parent / "outside.txt").touch()
    (root / "p/leak.txt").symlink_to(target)
    with pytest.raises(BadPath, match=r"p/leak\.txt is a link that leaves the workspace"):
        find("*.txt")


@pytest.mark.parametrize("name", [b"new\nline.txt", b"bell\x07.txt", b"-rf.txt"])
def test_names_that_nobody_should_have_are_refused(root: Path, find: Find, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(root / "p") + b"/" + name)).touch()
    assert find("*.md") == ["p/b.md"]  # it is in nobody's way until it is matched
    with pytest.raises(BadPath, match="txt"):
        find("*.txt")


def test_names_that_are_not_utf8_are_refused(root: Path, find: Find) -> None:
    try:
        Path(os.fsdecode(os.fsencode(root / "p") + b"/\xff.txt")).touch()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    with pytest.raises(BadPath, match=r"'p/\\udcff\.txt' is not UTF-8"):
        find("*.txt")


def test_odd_names_are_names(root: Path, find: Find) -> None:
    odd = sorted(["😀.x", " space .x", "CON.x", "ä.x", "a\u0308.x", "$x.x", "a;b.x", "[z].x"])
    for name in odd:
        (root / "p" / name).touch()
    assert find("*.x") == [f"p/{name}" for name in sorted(os.listdir(root / "p")) if name.endswith(".x")]


def test_what_is_no_file_is_left_out(root: Path, find: Find) -> None:
    os.mkfifo(root / "p/pipe.txt")
    assert "p/pipe.txt" not in find("*.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every directory")
def test_a_directory_that_cannot_be_listed(root: Path, find: Find) -> None:
    (root / "p/texts").chmod(0)
    with pytest.raises(DiskRefused, match="p/texts can't be listed: Permission denied"):
        find("texts/*")


BAD = ["", "/a", "a/", "!a", "a\\b", "{a,b}", "a//b", "../a", "./a", "a/../b", "**a", "a/**b/c", "***", "a\nb"]


@pytest.mark.parametrize("glob", BAD)
def test_a_glob_that_can_not_match_is_refused(find: Find, glob: str) -> None:
    with pytest.raises(BadAttribute, match="the glob"):
        check_glob(glob)
    with pytest.raises(BadAttribute):
        find(glob)


@pytest.mark.parametrize(
    "glob", ["[", "[!", "[]", "[z-a].txt", "[[a]", "*a" * 60 + "x", "**/" * 30 + "*.none", "?" * 300]
)
def test_odd_globs_find_nothing_soon(root: Path, find: Find, glob: str) -> None:
    (root / "p" / ("a" * 200)).touch()
    start = time.process_time()
    assert find(glob) == []
    assert time.process_time() - start < 1


def test_a_link_to_nothing_is_told(root: Path, find: Find, visits: list[str]) -> None:
    (root / "p/nothing.lnk").symlink_to("not-there")
    (root / "p/circle.lnk").symlink_to("circle.lnk")
    assert find("*.lnk") == []
    assert {"p/nothing.lnk", "p/circle.lnk"} <= {*visits}
