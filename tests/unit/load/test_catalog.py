"""The catalog: targets found, suggested and selected, and who is told of what was read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowbuild.core.errors import BadAttribute, NoMatch, UnknownTarget
from flowbuild.core.label import parse, parse_pattern
from flowbuild.load.catalog import Catalog
from flowbuild.load.distributions import Distributions
from flowbuild.load.workspace import open_workspace

FILES = {
    "flowbuild.yaml": "",
    "BUILD.yaml": "targets:\n  root: {rule: group, targets: []}\n",
    "a/BUILD.yaml": "targets:\n  a: {rule: group, targets: []}\n  other: {rule: group, targets: [':a']}\n",
    "a/b/BUILD.yaml": "targets:\n  b: {rule: group, targets: []}\n",
    "a/x.txt": "",
    "plain/x.py": "",
}


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.absences: list[str] = []
        self.directories: list[str] = []
        self.file, self.absent, self.directory = self.files.append, self.absences.append, self.directories.append


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def catalog(tmp_path: Path, told: Told) -> Catalog:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Catalog(open_workspace(tmp_path), told, None, Distributions(tmp_path))


def test_a_target(catalog: Catalog) -> None:
    assert catalog.target(parse("//a:other")).rule == "group"
    assert catalog.target(parse("//:root")).path == "BUILD.yaml"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("//aa", "no package //aa: aa/BUILD.yaml is not there; did you mean '//a'?"),
        ("//plain", "no package //plain: plain/BUILD.yaml is not there"),
        ("//a:othr", "a/BUILD.yaml has no target 'othr'; did you mean 'other'?"),
        ("//:nothing", "BUILD.yaml has no target 'nothing'"),
    ],
)
def test_an_unknown_target(catalog: Catalog, label: str, message: str) -> None:
    with pytest.raises(UnknownTarget) as caught:
        catalog.target(parse(label))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("patterns", "labels"),
    [
        (["//..."], ["//:root", "//a", "//a:other", "//a/b"]),
        (["//a/..."], ["//a", "//a:other", "//a/b"]),
        (["//a:all"], ["//a", "//a:other"]),
        (["//:all"], ["//:root"]),
        (["//a/b", "//a"], ["//a/b", "//a"]),
        (["//a", "//a"], ["//a"]),
        (["//...", "-//a/..."], ["//:root"]),
        (["//...", "-//a:all"], ["//:root", "//a/b"]),
        (["//...", "-//a", "//a"], ["//:root", "//a:other", "//a/b", "//a"]),
        (["-//a", "//a"], ["//a"]),
    ],
)
def test_select(catalog: Catalog, patterns: list[str], labels: list[str]) -> None:
    assert [str(label) for label in catalog.select([parse_pattern(text) for text in patterns])] == labels


@pytest.mark.parametrize(
    ("pattern", "kind"), [("//plain/...", NoMatch), ("//nowhere/...", NoMatch), ("//plain:all", UnknownTarget)]
)
def test_a_pattern_must_match(catalog: Catalog, pattern: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        catalog.select([parse_pattern(pattern)])


@pytest.mark.parametrize("patterns", [["//...", "-//..."], ["-//a"], ["//a", "-//a"]])
def test_something_must_be_left(catalog: Catalog, patterns: list[str]) -> None:
    with pytest.raises(NoMatch, match=f"nothing is left of {re.escape(' '.join(patterns))}"):
        catalog.select([parse_pattern(text) for text in patterns])


def test_who_owns_a_file(catalog: Catalog) -> None:
    paths = ["a/x.txt", "a/b/deep/y.txt", "plain/x.py", "z.txt"]
    assert [catalog.owner(path) for path in paths] == ["a", "a/b", "", ""]


def test_only_what_is_asked_for_is_read(catalog: Catalog, told: Told) -> None:
    catalog.target(parse("//a"))
    assert "a/BUILD.yaml" in told.files
    assert "a/b/BUILD.yaml" not in told.files
    assert "flowbuild.yaml" in told.files


def test_each_file_is_read_once(catalog: Catalog, told: Told, tmp_path: Path) -> None:
    first = catalog.target(parse("//a"))
    (tmp_path / "a/BUILD.yaml").write_text("{")
    assert catalog.target(parse("//a")) is first
    assert told.files.count("a/BUILD.yaml") == 1


def test_an_absence_is_told(catalog: Catalog, told: Told) -> None:
    with pytest.raises(UnknownTarget):
        catalog.target(parse("//plain"))
    assert "plain/BUILD.yaml" in told.absences


def test_visited_directories_are_told(catalog: Catalog, told: Told) -> None:
    catalog.packages(parse_pattern("//a/..."))
    assert {"a", "a/b"} <= set(told.directories)
    assert "plain" not in told.directories


def test_rules_are_told(catalog: Catalog, told: Told) -> None:
    assert "exec" in catalog.rules
    assert any(path.endswith("exec.rule.yaml") for path in told.files)
    assert "rules" in told.absences  # a rule of the workspace's own would count


def test_a_place_in_a_file(catalog: Catalog) -> None:
    assert str(catalog.locate(catalog.target(parse("//a:other")), ["targets", 0])) == "a/BUILD.yaml:3:34"


def test_a_fault_of_a_package_is_a_fault_of_its_reading(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a/BUILD.yaml").write_text("targets:\n  a: {rule: group, targets: 3}\n")
    with pytest.raises(BadAttribute, match="a/BUILD.yaml:2:"):
        catalog.target(parse("//a"))
    assert catalog.target(parse("//a/b")).label == parse("//a/b")
