"""The hand parser: the common form and nothing else, and keys that keep apart what must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.front.arguments import CHOICES, ELAPSED, FLAGS, ROOT, Request, fill, is_provable, key, parse, place


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("//a:b", Request(patterns=("//a:b",))),
        ("build //a/...", Request(patterns=("//a/...",))),
        ("-j4 build :b", Request(patterns=(":b",), jobs=4)),
        ("//... -//x/...", Request(patterns=("//...", "-//x/..."))),
        ("-C dir //a", Request(patterns=("//a",), directory="dir")),
        ("-Cdir //a -j 2", Request(patterns=("//a",), directory="dir", jobs=2)),
        ("--directory=dir //a --jobs=2", Request(patterns=("//a",), directory="dir", jobs=2)),
        ("//a --set x=1 --set=y==2", Request(patterns=("//a",), sets=("x=1", "y==2"))),
        ("//a --continue always --json -q", Request(patterns=("//a",), keep_going="always", json=True, quiet=True)),
        ("//a -v --strict --color never", Request(patterns=("//a",), verbose=True, strict=True, color="never")),
        ("//a --policy live --channel clean", Request(patterns=("//a",), policy="live", channel="clean")),
        ("//a --force //b --force //c", Request(patterns=("//a",), force=("//b", "//c"))),
        ("//a --durability all --timeout 3", Request(patterns=("//a",), durability="all", timeout_s=3.0)),
        (
            "//a --only-profile p --only-scenario s",
            Request("build", ("//a",), only_profile=("p",), only_scenario=("s",)),
        ),
    ],
)
def test_reads_the_common_form(line: str, expected: Request) -> None:
    assert parse(line.split()) == expected


@pytest.mark.parametrize(
    "line",
    [
        *("", "build", "test //a", "//a test", "//a build", "build build //a", "a/b", "--help //a", "//a --nope"),
        *("//a -j", "//a -j0", "//a -j-1", "//a -jx", "//a -j ²", "//a --set", "//a --set --json", "//a --json=1"),
        *("//a --policy never", "//a --continue", "//a --continue=", "//a -C", "//a -qv", "//a - b", "//a -- //b"),
        *("-C a -C b //a", "//a --json --json", "//a --jobs 2 -j3", "//a --timeout 1.5", "//a --color rainbow"),
    ],
)
def test_leaves_everything_else_to_the_slow_road(line: str) -> None:
    assert parse(line.split(" ") if line else []) is None


def test_flags_reach_every_field() -> None:
    assert {field for field, _ in FLAGS.values()} == set(vars(Request())) - {"command", "patterns"}
    assert set(CHOICES) <= {field for field, kind in FLAGS.values() if kind == "one"}


def test_defaults_are_among_the_choices() -> None:
    assert all(getattr(Request(), field) in words for field, words in CHOICES.items())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("//a", True),
        ("//a --set x=1 -v --channel clean", True),
        ("//a --policy live", False),
        ("//a --policy dry", False),
        ("//a --force //a", False),
        ("//a --out elsewhere", False),
        ("//a --config c.yaml", False),
        ("//a --engine proc", False),
        ("//a --executor-path x", False),
    ],
)
def test_null_road_is_for_ordinary_builds(line: str, expected: bool) -> None:
    request = parse(line.split())
    assert request is not None
    assert is_provable(request) is expected


def key_of(line: str, below: str = ".") -> str:
    request = parse(line.split())
    assert request is not None
    return key(request, below)


@pytest.mark.parametrize("line", ["//a -j4", "-C x //a", "build //a", "//a --continue always", "//a --timeout 9"])
def test_requests_with_one_answer_share_a_key(line: str) -> None:
    assert key_of(line) == key_of("//a")


def test_all_other_requests_have_keys_of_their_own() -> None:
    lines = [
        *("//a", "//b", "//a //b", "//b //a", "//a -q", "//a -v", "//a --json", "//a --strict", "//a --color always"),
        *("//a --set x=1", "//a --set x=2", "//a --set x=1 --set y=1", "//a --channel clean", "//a --durability all"),
        *("//a --only-profile x", "//a --only-scenario x", "//a --policy live", "//a --out x", "//a --force x"),
        *("//a --engine x", "//a --executor-path x", "//a --config x"),
    ]
    assert len({key_of(line) for line in lines} | {key_of("//a", "sub")}) == len(lines) + 1


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path.resolve() / "work"
    (root / "a/b").mkdir(parents=True)
    (root / "flowbuild.yaml").write_text("")
    (tmp_path / "link").symlink_to(root / "a")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    ("directory", "below"),
    [("", "."), ("a", "a"), ("a/b", "a/b"), ("a/..", "."), ("../link/b", "a/b"), ("a/b/c", "a/b/c")],
)
def test_place_is_where_the_directory_leads(workspace: Path, directory: str, below: str) -> None:
    Path(directory).mkdir(parents=True, exist_ok=True)
    assert place(Request(directory=directory)) == (str(workspace), below)


def test_nearest_workspace_counts(workspace: Path) -> None:
    (workspace / "a/flowbuild.yaml").write_text("")
    assert place(Request(directory="a/b")) == (str(workspace / "a"), "b")


def test_no_workspace_is_no_place(workspace: Path) -> None:
    (workspace / "flowbuild.yaml").unlink()
    assert place(Request()) is None


def test_place_that_is_gone(workspace: Path) -> None:
    os.chdir(workspace / "a/b")
    (workspace / "a/b").rmdir()
    with pytest.raises(FileNotFoundError):
        place(Request())


@pytest.mark.parametrize(("here", "shown"), [(".", "x"), ("a", "../x"), ("..", "work/x")])
def test_text_is_filled_in_for_where_the_user_stands(workspace: Path, here: str, shown: str) -> None:
    os.chdir(here)
    assert fill(f"{ROOT}x {ELAPSED} s", 0.014, str(workspace)) == f"{shown} 0.01 s"
