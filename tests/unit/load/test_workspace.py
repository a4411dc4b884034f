"""The workspace: found from below, its packages listed, its rule files found."""

from __future__ import annotations

import pytest

from flowbuild.core.errors import BadLabel, UserError
from flowbuild.core.label import parse_pattern
from flowbuild.load.workspace import find, find_rule_files, open_workspace, packages

from .conftest import Loading


def listed(loading: Loading, pattern: str, visits: list[str] | None = None) -> list[str]:
    return packages(loading.open(), parse_pattern(pattern), (visits if visits is not None else []).append)


@pytest.fixture
def tree(loading: Loading) -> Loading:
    for package in ("", "a", "a/b", "a/b/c", "d d", "out/x", ".flowbuild/x", "a/__pycache__", "other"):
        loading.write(f"{package}/BUILD.yaml".lstrip("/"), "")
    loading.write("other/flowbuild.yaml", "")
    (loading.root / "link").symlink_to("a")
    return loading


def test_found_from_below(loading: Loading) -> None:
    loading.write("a/b/x", "")
    assert find(loading.root / "a/b").root == loading.root
    assert find(loading.root / "a/b").name == "w"


def test_none_is_one_clear_message(loading: Loading) -> None:
    (loading.root / "flowbuild.yaml").unlink()
    with pytest.raises(UserError, match=r"there is no flowbuild\.yaml in .* or above it; create one .*touch"):
        find(loading.root)


def test_other_settings(loading: Loading) -> None:
    other = loading.write("other.yaml", "name: other\n")
    assert open_workspace(loading.root, other).name == "other"
    with pytest.raises(UserError, match=r"there is no missing\.yaml"):
        open_workspace(loading.root, loading.root / "missing.yaml")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("//...", ["", "a", "a/b", "a/b/c", "d d"]), ("//a/...", ["a", "a/b", "a/b/c"]), ("//a/b:all", ["a/b"]),
        ("//a/b:x", ["a/b"]), ("//none/...", []), ("//none:x", []), ("//link/...", []), ("//link:x", []),
        ("//other/...", []), ("//other:all", []), ("//out/...", []), ("//out/x:all", []), ("//a/__pycache__/...", []),
    ],
)  # fmt: skip
def test_packages(tree: Loading, pattern: str, found: list[str]) -> None:
    assert listed(tree, pattern) == found


def test_every_directory_that_decided_is_told(tree: Loading) -> None:
    visits: list[str] = []
    listed(tree, "//a/...", visits)
    assert sorted(visits) == ["a", "a/b", "a/b/c"]
    visits.clear()
    listed(tree, "//a/later/...", visits)
    assert visits == ["a"]


def test_a_package_that_no_label_can_name(loading: Loading) -> None:
    loading.write("a/b:c/BUILD.yaml", "")
    with pytest.raises(BadLabel, match=r"the directory 'a/b:c' holds a BUILD.yaml, and no label can name it"):
        listed(loading, "//...")


def test_a_directory_that_no_label_can_name_is_no_fault(loading: Loading) -> None:
    loading.write("a/b:c/file", "")
    assert listed(loading, "//...") == []


def test_rule_files(loading: Loading) -> None:
    loading.write("rules/mine.rule.yaml", "")
    loading.write("rules/.#mine.rule.yaml", "")
    loading.write("rules/mine.yaml", "")
    found = find_rule_files(loading.open(), lambda directory: None)
    assert [file.shown for file in found if not file.builtin] == ["rules/mine.rule.yaml"]
    assert "<flowbuild>/rules/exec.rule.yaml" in [file.shown for file in found if file.builtin]
