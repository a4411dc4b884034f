"""The last table: what a state came to last, and the action before that."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.run.last import Last, LastTable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "last"


def test_what_is_noted_is_read_again(path: Path) -> None:
    table = LastTable(path)
    table.note("s", "k1", {"o": "d"}, "run", 5, True)
    table.save()
    assert LastTable(path).get("s") == Last("k1", {"o": "d"}, "run", 5, True, None)
    assert LastTable(path).get("other") is None


def test_the_action_before_is_kept(path: Path) -> None:
    table = LastTable(path)
    for key, before in (("k1", None), ("k2", "k1"), ("k2", "k2")):
        table.note("s", key, {}, "run", 5, True)
        assert table.get("s") == Last(key, {}, "run", 5, True, before)


def test_a_reuse_of_the_same_action_changes_nothing(path: Path) -> None:
    table = LastTable(path)
    table.note("s", "k1", {}, "first", 5, True)
    table.note("s", "k1", {}, "second", 9, False)
    assert table.get("s") == Last("k1", {}, "first", 5, True, None)


def test_a_reuse_of_another_action_is_noted(path: Path) -> None:
    table = LastTable(path)
    table.note("s", "k1", {}, "first", 5, True)
    table.note("s", "k0", {}, "long ago", 9, False)
    assert table.get("s") == Last("k0", {}, "long ago", 9, False, "k1")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 0, "states": {"s": []}}', '{"version": 1}', "\xff"]
)
def test_a_bad_table_is_an_empty_one(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    assert LastTable(path).get("s") is None


@pytest.mark.parametrize("row", ["[]", "7", "[1]", '["k", {}, "r", 1, true, null, 7]', '{"a": 1}', "null"])
def test_a_bad_row_spoils_the_table(path: Path, row: str) -> None:
    path.parent.mkdir()
    path.write_text(f'{{"version": 1, "states": {{"s": {row}}}}}')
    assert LastTable(path).get("s") is None


def test_nothing_new_is_not_written(path: Path) -> None:
    LastTable(path).save()
    assert not path.exists()
